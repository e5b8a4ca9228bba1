//! Messages for languages that write names in camelCase.

use kalam_live::Error;

/// What the core's own messages call by name.
const NAMES: [&str; 17] = [
    "auto_commit_interval",
    "batch_size",
    "initial_data",
    "key_columns",
    "last_rows",
    "live_events",
    "max_message_bytes",
    "max_poll_records",
    "on_failed",
    "order_by",
    "poll_timeout",
    "query_all",
    "reconnect_attempts",
    "reconnect_delay",
    "reconnect_max_delay",
    "token_provider",
    "user_agent",
];

/// The message of an error with the names of options and functions as such a language has them: `orderBy`, not `order_by`.
///
/// What the server says is left as it is, and so is what stands in quotation marks, which is the caller's.
pub fn camel_case_message(error: &Error) -> String {
    let message = error.message();
    if error.server_code().is_some() || !message.contains('_') {
        return message.to_owned();
    }
    let mut told = String::with_capacity(message.len());
    for (i, part) in message.split('"').enumerate() {
        if i > 0 {
            told.push('"');
        }
        if i % 2 == 1 {
            told.push_str(part);
        } else {
            part.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_').for_each(|word| {
                let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                if NAMES.contains(&name) {
                    push_camel_case(&mut told, word);
                } else {
                    told.push_str(word);
                }
            });
        }
    }
    told
}

fn push_camel_case(told: &mut String, word: &str) {
    let mut parts = word.split('_');
    told.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let mut letters = part.chars();
        told.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        told.push_str(letters.as_str());
    }
}

#[cfg(test)]
mod tests {
    use kalam_live::ErrorCode;

    use super::*;

    #[test]
    fn names_are_those_of_the_language() {
        for (message, told) in [
            (
                "use the order_by option, or last_rows for what",
                "use the orderBy option, or lastRows for what",
            ),
            ("`order_by` names \"order_by\", which", "`orderBy` names \"order_by\", which"),
            ("key_columns: no x_order_by in query_all()", "keyColumns: no x_order_by in queryAll()"),
            ("token_provider", "tokenProvider"),
            ("", ""),
        ] {
            let error = Error::new(ErrorCode::InvalidArgument, message);
            assert_eq!(camel_case_message(&error), told);
            assert_eq!(camel_case_message(&error.with_server_code("X")), message);
        }
    }
}
