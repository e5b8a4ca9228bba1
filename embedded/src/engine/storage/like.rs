//! LIKE and ILIKE as KalamDB has them: case matters (LIKE), `\` escapes, `%` and `_` stand for characters, not bytes.

/// Whether `text` matches `pattern`. An error when the pattern ends in the middle of an escape.
pub(super) fn matches(
    text: &str,
    pattern: &str,
    escape: Option<char>,
    ignore_case: bool,
) -> Result<bool, &'static str> {
    let pattern = compile(pattern, escape, ignore_case)?;
    if ignore_case {
        let folded: Vec<char> = text.chars().map(folded).collect();
        return Ok(run(&folded, &pattern));
    }
    // The common shapes need no list of characters.
    if let [Part::Many] = pattern[..] {
        return Ok(true);
    }
    let text: Vec<char> = text.chars().collect();
    Ok(run(&text, &pattern))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Char(char),
    One,
    Many,
}

fn compile(pattern: &str, escape: Option<char>, ignore_case: bool) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::with_capacity(pattern.len());
    let literal = |c: char, parts: &mut Vec<Part>| {
        parts.push(Part::Char(if ignore_case { folded(c) } else { c }));
    };
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => {
                let next = chars.next().ok_or("LIKE pattern must not end with the escape character")?;
                literal(next, &mut parts);
            }
            '%' if parts.last() == Some(&Part::Many) => {}
            '%' => parts.push(Part::Many),
            '_' => parts.push(Part::One),
            _ => literal(c, &mut parts),
        }
    }
    Ok(parts)
}

/// The letter without its case. One for one: `_` stands for one letter also where the lower case has two.
fn folded(letter: char) -> char {
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => letter,
    }
}

/// Greedy with one point of return: O(text * pattern) at worst, no recursion.
fn run(text: &[char], pattern: &[Part]) -> bool {
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Char(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            Some(Part::One) => (t, p) = (t + 1, p + 1),
            Some(Part::Many) => {
                retry = Some((t, p));
                p += 1;
            }
            _ => match retry {
                Some((from, many)) => {
                    retry = Some((from + 1, many));
                    (t, p) = (from + 1, many + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| *part == Part::Many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        let like = |text: &str, pattern: &str| matches(text, pattern, Some('\\'), false).unwrap();
        let ilike = |text: &str, pattern: &str| matches(text, pattern, Some('\\'), true).unwrap();
        assert!(like("open", "op%") && like("open", "%") && like("", "%") && like("", ""));
        assert!(!like("open", "OP%") && ilike("open", "OP%"));
        assert!(like("hello", "h_llo") && like("h\u{e9}llo", "h_llo") && !like("hllo", "h_llo"));
        assert!(
            like("aXbXc", "a%X%c") && like("mississippi", "%iss%ip%") && !like("mississippi", "%iss%ipx")
        );
        assert!(like("100%", "100\\%") && !like("1000", "100\\%"));
        assert!(like("a_b", "a\\_b") && !like("axb", "a\\_b"));
        assert!(ilike("\u{130}", "_") && ilike("a\u{130}b", "A\u{130}B") && !ilike("\u{130}", "__"));
        assert!(ilike("STRASSE \u{c4}", "%\u{e4}"));
        assert!(matches("x", "a\\", Some('\\'), false).is_err());
        assert!(matches("a\\", "a\\", None, false).unwrap());
        // Would take for ever with naive backtracking.
        assert!(!like(&"a".repeat(5000), &"a%".repeat(50).replace("a%", "%a%b")));
    }
}
