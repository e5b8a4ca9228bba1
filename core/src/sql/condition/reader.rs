//! Reads a condition: recursive descent over the tokens of a filter.

use super::{Comparison, Literal, Node, Operator};
use crate::sql::token::{Token, TokenKind};

/// A longer IN list is left as it is: as a chain of OR it would cost the server more than it helps.
pub(super) const MOST_VALUES: usize = 100;
/// So deep may parentheses stand.
const DEEPEST: usize = 32;

/// What is left to read.
pub(super) struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens, depth: 0 }
    }

    /// All of it as one condition.
    pub(super) fn whole(mut self) -> Option<Node> {
        let node = self.any()?;
        self.tokens.is_empty().then_some(node)
    }

    fn any(&mut self) -> Option<Node> {
        let mut nodes = vec![self.all()?];
        while self.keyword("OR") {
            nodes.push(self.all()?);
        }
        Some(joined(nodes, Node::Any))
    }

    fn all(&mut self) -> Option<Node> {
        let mut nodes = vec![self.not()?];
        while self.keyword("AND") {
            nodes.push(self.not()?);
        }
        Some(joined(nodes, Node::All))
    }

    fn not(&mut self) -> Option<Node> {
        self.depth += 1;
        let node = if self.depth > DEEPEST {
            None
        } else if self.keyword("NOT") {
            self.not().map(|node| Node::Not(Box::new(node)))
        } else if self.symbol("(") {
            self.any().filter(|_| self.symbol(")"))
        } else {
            self.comparison()
        };
        self.depth -= 1;
        node
    }

    fn comparison(&mut self) -> Option<Node> {
        let token = self.tokens.first()?;
        let reserved = ["TRUE", "FALSE", "NULL", "CASE", "CAST", "EXISTS"];
        let name =
            token.name(self.text).filter(|_| !reserved.iter().any(|w| token.is_keyword(self.text, w)))?;
        let column = (token.text(self.text).to_owned(), name.into_owned());
        self.advance();
        let compare = |operator, literal| {
            let (column, name) = column.clone();
            Node::Compare(Comparison { column, name, operator, literal })
        };
        let negated = self.keyword("NOT");
        let turned = |node| if negated { Node::Not(Box::new(node)) } else { node };
        if self.keyword("IN") {
            let values = self.values()?;
            let operator = if negated { Operator::NotEqual } else { Operator::Equal };
            let nodes = values.into_iter().map(|value| compare(operator, value)).collect();
            return Some(joined(nodes, if negated { Node::All } else { Node::Any }));
        }
        if self.keyword("BETWEEN") {
            let low = self.literal()?;
            let high = self.keyword("AND").then(|| self.literal())??;
            return Some(if negated {
                Node::Any(vec![compare(Operator::Less, low), compare(Operator::Greater, high)])
            } else {
                Node::All(vec![compare(Operator::GreaterOrEqual, low), compare(Operator::LessOrEqual, high)])
            });
        }
        for (word, operator) in [("LIKE", Operator::Like), ("ILIKE", Operator::ILike)] {
            if self.keyword(word) {
                return self.literal().map(|pattern| turned(compare(operator, pattern)));
            }
        }
        if negated {
            return None;
        }
        let operator = match self.tokens.first()?.text(self.text) {
            "=" => Operator::Equal,
            "<>" | "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return None,
        };
        self.advance();
        self.literal().map(|literal| compare(operator, literal))
    }

    fn values(&mut self) -> Option<Vec<Literal>> {
        self.symbol("(").then_some(())?;
        let mut values = vec![self.literal()?];
        while self.symbol(",") {
            values.push(self.literal()?);
        }
        (self.symbol(")") && values.len() <= MOST_VALUES).then_some(values)
    }

    /// A literal that nothing is computed from.
    fn literal(&mut self) -> Option<Literal> {
        let sign = if self.symbol("-") { "-" } else { "" };
        let token = self.tokens.first()?;
        let text = token.text(self.text).to_owned();
        let boolean = ["TRUE", "FALSE"].iter().any(|word| token.is_keyword(self.text, word));
        let literal = match token.kind {
            TokenKind::Number => Literal::Number(format!("{sign}{text}")),
            TokenKind::Text if sign.is_empty() => Literal::Text(text),
            TokenKind::Word if boolean && sign.is_empty() => Literal::Boolean(text),
            _ => return None,
        };
        self.advance();
        let ends = |t: &Token| {
            [")", ","].iter().any(|s| t.is_symbol(self.text, s))
                || ["AND", "OR"].iter().any(|w| t.is_keyword(self.text, w))
        };
        self.tokens.first().is_none_or(ends).then_some(literal)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self.tokens.first().is_some_and(|t| t.is_keyword(self.text, word));
        if found {
            self.advance();
        }
        found
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.tokens.first().is_some_and(|t| t.is_symbol(self.text, symbol));
        if found {
            self.advance();
        }
        found
    }

    fn advance(&mut self) {
        self.tokens = &self.tokens[1..];
    }
}

fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 { nodes.remove(0) } else { join(nodes) }
}
