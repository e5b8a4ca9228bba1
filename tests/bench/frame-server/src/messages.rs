//! What clients send, and which workload a subscription means.

use serde::Deserialize;

use crate::spec::Spec;
use crate::workload::COLUMNS;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ClientMessage {
    Authenticate {
        #[serde(default)]
        protocol: Protocol,
    },
    Subscribe {
        subscription: SubscriptionRequest,
    },
    NextBatch {
        subscription_id: String,
        last_seq_id: Option<i64>,
    },
    Unsubscribe {
        subscription_id: String,
    },
    Ping,
}

#[derive(Deserialize)]
pub(crate) struct Protocol {
    #[serde(default = "gzip")]
    pub(crate) compression: String,
}

fn gzip() -> String {
    "gzip".to_owned()
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol { compression: gzip() }
    }
}

#[derive(Deserialize)]
pub(crate) struct SubscriptionRequest {
    pub(crate) id: String,
    pub(crate) sql: String,
    pub(crate) options: Option<Options>,
}

#[derive(Deserialize)]
pub(crate) struct Options {
    pub(crate) batch_size: Option<usize>,
    pub(crate) last_rows: Option<usize>,
    pub(crate) from: Option<i64>,
}

/// The workload that `SELECT id, room, sender, body, n, at FROM bench.…` names.
pub(crate) fn workload_of(sql: &str) -> Result<Spec, String> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let from = words.iter().position(|word| word.eq_ignore_ascii_case("from"));
    let (Some(from), Some(true)) = (from, words.first().map(|word| word.eq_ignore_ascii_case("select")))
    else {
        return Err(format!("not a live query: {sql}"));
    };
    let projection = words[1..from].concat().replace('"', "");
    if !projection.split(',').eq(COLUMNS) || words.len() != from + 2 {
        return Err(format!(
            "the workloads are SELECT {} FROM bench.NAME, without WHERE; got {sql}",
            COLUMNS.join(", ")
        ));
    }
    words[from + 1].replace('"', "").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_workload() {
        let spec = workload_of("SELECT id, room, sender, body, n, at\n FROM bench.insert_5_10").unwrap();
        assert_eq!((spec.rows, spec.changes), (5, 10));
        assert!(
            workload_of(
                "select \"id\",\"room\",\"sender\",\"body\",\"n\",\"at\" from \"bench\".\"insert_5_10\""
            )
            .is_ok()
        );
    }

    #[test]
    fn other_queries_are_refused() {
        for sql in [
            "SELECT * FROM bench.insert_5_10",
            "SELECT id FROM bench.insert_5_10",
            "SELECT id, room, sender, body, n, at FROM bench.insert_5_10 WHERE n > 1",
            "DELETE FROM bench.insert_5_10",
            "SELECT",
            "",
        ] {
            assert!(workload_of(sql).is_err(), "{sql}");
        }
    }
}
