//! What a workload is, and how a table name says it.
//!
//! A client chooses a workload by the table it subscribes to: `bench.KIND_ROWS_CHANGES[_rRATE][_gz]`, for example
//! `bench.update_10000_100000` (10,000 rows held, 100,000 updates) or `bench.update_1000_200000_r20000` (at 20,000
//! changes a second). So any client that speaks SQL can be measured without a side door.

use std::fmt;
use std::str::FromStr;

/// The key of the row that the last frame of every workload inserts: whoever sees it has seen everything.
pub(crate) const MARKER_ID: i64 = 9_000_000_000;

/// `_seq` of the first snapshot row; a number of the size that a real server sends.
pub(crate) const FIRST_SEQ: i64 = 383_749_746_295_934_976;

/// Limits on what a table name may ask for, so that a typing error does not fill the memory.
const MAX_ROWS: u32 = 2_000_000;
const MAX_CHANGES: u32 = 5_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Every change inserts a new row.
    Insert,
    /// Changes update the held rows one after the other.
    Update,
    /// Changes come in pairs: a random row is deleted, a new one inserted.
    Churn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// Rows of the snapshot.
    pub(crate) rows: u32,
    /// Change frames after the snapshot, the marker included.
    pub(crate) changes: u32,
    /// Changes a second; `None` sends as fast as the client reads.
    pub(crate) rate: Option<u32>,
    /// Whether frames of 512 bytes and more are compressed when the client negotiated it. Off by default: compression
    /// at the server would cost more than what is measured at the client.
    pub(crate) gzip: bool,
}

impl Spec {
    /// `_seq` of the change with this index.
    pub(crate) fn change_seq(&self, index: usize) -> i64 {
        FIRST_SEQ + i64::from(self.rows) + index as i64
    }

    /// `_seq` of the last frame.
    pub(crate) fn final_seq(&self) -> i64 {
        self.change_seq(self.changes as usize - 1)
    }

    /// Index of the first change that a client which has seen everything up to `seq` lacks.
    pub(crate) fn first_change_after(&self, seq: i64) -> usize {
        let index = seq.saturating_sub(self.change_seq(0)).saturating_add(1);
        index.clamp(0, i64::from(self.changes)) as usize
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Insert => "insert",
            Kind::Update => "update",
            Kind::Churn => "churn",
        };
        write!(f, "{kind}_{}_{}", self.rows, self.changes)?;
        if let Some(rate) = self.rate {
            write!(f, "_r{rate}")?;
        }
        if self.gzip { f.write_str("_gz") } else { Ok(()) }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let explain = |what: &str| {
            format!(
                "{what} in table {name:?}: expected bench.KIND_ROWS_CHANGES[_rRATE][_gz], KIND insert, update or churn"
            )
        };
        let mut parts = name.strip_prefix("bench.").unwrap_or(name).split('_');
        let kind = match parts.next() {
            Some("insert") => Kind::Insert,
            Some("update") => Kind::Update,
            Some("churn") => Kind::Churn,
            _ => return Err(explain("unknown kind")),
        };
        let mut number = |what: &str, limit: u32| {
            let value = parts.next().and_then(|text| text.parse::<u32>().ok());
            value.filter(|value| *value <= limit).ok_or_else(|| explain(what))
        };
        let rows = number("bad number of rows", MAX_ROWS)?;
        let changes = number("bad number of changes", MAX_CHANGES)?;
        let mut spec = Spec { kind, rows, changes, rate: None, gzip: false };
        for part in parts {
            match part.strip_prefix('r').and_then(|text| text.parse().ok()) {
                Some(rate @ 1..=10_000_000) => spec.rate = Some(rate),
                None if part == "gz" => spec.gzip = true,
                _ => return Err(explain("unknown option")),
            }
        }
        if changes == 0 {
            return Err(explain("no changes"));
        }
        if kind != Kind::Insert && rows == 0 {
            return Err(explain("no rows to change"));
        }
        if kind == Kind::Churn && changes % 2 == 1 {
            return Err(explain("an odd number of changes"));
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_workload() {
        let spec: Spec = "bench.update_10000_100000_r20000_gz".parse().unwrap();
        let expected =
            Spec { kind: Kind::Update, rows: 10_000, changes: 100_000, rate: Some(20_000), gzip: true };
        assert_eq!(spec, expected);
        assert_eq!(spec.to_string().parse::<Spec>().unwrap(), spec);
    }

    #[test]
    fn nonsense_is_refused() {
        for name in
            ["bench.x_1_1", "bench.insert_1", "bench.insert_1_0", "bench.update_0_5", "bench.churn_5_3", ""]
        {
            assert!(name.parse::<Spec>().is_err(), "{name}");
        }
        assert!("bench.insert_1_1_fast".parse::<Spec>().is_err());
        assert!("bench.insert_1_99999999".parse::<Spec>().is_err());
    }

    #[test]
    fn a_cursor_finds_its_place() {
        let spec: Spec = "insert_10_5".parse().unwrap();
        assert_eq!(spec.first_change_after(0), 0);
        assert_eq!(spec.first_change_after(FIRST_SEQ + 9), 0);
        assert_eq!(spec.first_change_after(spec.change_seq(2)), 3);
        assert_eq!(spec.first_change_after(i64::MAX), 5);
    }
}
