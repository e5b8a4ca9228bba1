//! Names as a live query writes them.

/// `namespace.table`, quoted where it must be.
pub(super) fn name(namespace: &str, table: &str) -> String {
    let quoted = |part: &str| {
        let plain = part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if plain { part.to_owned() } else { format!("\"{}\"", part.replace('"', "\"\"")) }
    };
    format!("{}.{}", quoted(namespace), quoted(table))
}
