//! Functions of text.

use sqlparser::ast::Expr;

use super::{calls::wrong_arguments, temporal::literal, translator::Translator, typed::Typed};
use crate::engine::{DataType, error::SqlResult};

impl Translator<'_> {
    pub(super) fn concat_all(&mut self, args: &[&Expr]) -> SqlResult<Typed> {
        let all = args.iter().map(|a| self.expr(a)).collect::<SqlResult<Vec<_>>>()?;
        let shown: Vec<&str> = all.iter().map(|t| t.name.as_str()).collect();
        let shown = format!("concat({})", shown.join(","));
        // NULL counts as nothing, unlike with `||`.
        let texts = all.into_iter().map(|t| self.as_text(t).map(|t| format!("coalesce({t}, '')")));
        let texts = texts.collect::<SqlResult<Vec<_>>>()?;
        Ok(Typed::new(format!("({})", texts.join(" || ")), DataType::Text, shown))
    }

    pub(super) fn of_text(
        &mut self,
        function: &str,
        shown: &str,
        arg: &Expr,
        result: DataType,
    ) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let name = format!("{shown}({})", arg.name);
        let text = self.text(arg, &format!("{shown}()"))?;
        Ok(Typed::new(format!("{function}({text})"), result, name))
    }

    pub(super) fn of_two_texts(
        &mut self,
        function: &str,
        shown: &str,
        a: &Expr,
        b: &Expr,
        result: DataType,
    ) -> SqlResult<Typed> {
        let both = [self.expr(a)?, self.expr(b)?];
        let name = format!("{shown}({},{})", both[0].name, both[1].name);
        let [a, b] = both.map(|t| self.text(t, &format!("{shown}()")));
        Ok(Typed::new(format!("{function}({}, {})", a?, b?), result, name))
    }

    pub(crate) fn strpos(&mut self, text: &Expr, part: &Expr) -> SqlResult<Typed> {
        self.of_two_texts("k_strpos", "strpos", text, part, DataType::Int)
    }

    pub(crate) fn trim(&mut self, name: &str, arg: &Expr, what: Option<&Expr>) -> SqlResult<Typed> {
        let function = if name == "btrim" { "k_trim".to_owned() } else { format!("k_{name}") };
        if let Some(what) = what {
            return self.of_two_texts(&function, name, arg, what, DataType::Text);
        }
        let arg = self.expr(arg)?;
        let shown = format!("{name}({})", arg.name);
        let text = self.text(arg, name)?;
        Ok(Typed::new(format!("{function}({text}, ' ')"), DataType::Text, shown))
    }

    pub(crate) fn substring(&mut self, arg: &Expr, from: &Expr, length: Option<&Expr>) -> SqlResult<Typed> {
        let (arg, from) = (self.expr(arg)?, self.expr(from)?);
        let length = length.map(|l| self.expr(l)).transpose()?;
        let last = length.as_ref().map_or(String::new(), |l| format!(",{}", l.name));
        let shown = format!("substr({},{}{last})", arg.name, from.name);
        let (arg, from) = (self.text(arg, "substr()")?, self.whole(from, "substr()")?);
        let length = match length {
            Some(length) => self.whole(length, "substr()")?,
            None => i64::MAX.to_string(),
        };
        Ok(Typed::new(format!("k_substr({arg}, {from}, {length})"), DataType::Text, shown))
    }

    pub(super) fn regexp(
        &mut self,
        shown: &str,
        function: &str,
        texts: &[&Expr],
        flags: Option<&Expr>,
        result: DataType,
    ) -> SqlResult<Typed> {
        let global = function == "k_regexp_replace";
        let flags = flags.map_or(Some(String::new()), literal);
        let flags = flags.filter(|f| f.chars().all(|c| "imsx".contains(c) || c == 'g' && global));
        let flags = flags
            .ok_or_else(|| wrong_arguments(shown, "written flags out of 'i', 'm', 's', 'x' (and 'g')"))?;
        let (mut parts, mut names) = (Vec::new(), Vec::new());
        for text in texts {
            let typed = self.expr(text)?;
            names.push(typed.name.clone());
            parts.push(self.text(typed, shown)?);
        }
        let name = format!("{shown}({})", names.join(","));
        Ok(Typed::new(format!("{function}({}, '{flags}')", parts.join(", ")), result, name))
    }

    pub(super) fn pad(
        &mut self,
        name: &str,
        text: &Expr,
        length: &Expr,
        fill: Option<&Expr>,
    ) -> SqlResult<Typed> {
        let (text, length) = (self.expr(text)?, self.expr(length)?);
        let shown = format!("{name}({},{})", text.name, length.name);
        let (text, length) = (self.text(text, name)?, self.whole(length, name)?);
        let fill = match fill {
            None => "' '".to_owned(),
            Some(fill) => {
                let fill = self.expr(fill)?;
                self.text(fill, name)?
            }
        };
        let left = u8::from(name == "lpad");
        Ok(Typed::new(format!("k_pad({text}, {length}, {fill}, {left})"), DataType::Text, shown))
    }

    /// overlay(): the text before, the new part, the text behind.
    pub(super) fn overlay(
        &mut self,
        text: &Expr,
        new: &Expr,
        from: &Expr,
        length: Option<&Expr>,
    ) -> SqlResult<Typed> {
        let (text, new, from) = (self.expr(text)?, self.expr(new)?, self.expr(from)?);
        let shown = format!("overlay({},{},{})", text.name, new.name, from.name);
        let (text, new) = (self.text(text, "overlay()")?, self.text(new, "overlay()")?);
        let from = self.whole(from, "overlay()")?;
        let length = match length {
            None => format!("k_length({new})"),
            Some(length) => {
                let length = self.expr(length)?;
                self.whole(length, "overlay()")?
            }
        };
        let made = format!(
            "(k_substr({text}, 1, max({from} - 1, 0)) || {new} || k_substr({text}, k_iadd({from}, {length}, 64), {}))",
            i64::MAX
        );
        Ok(Typed::new(made, DataType::Text, shown))
    }
}
