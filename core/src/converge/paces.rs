//! How often the tables of a client are checked, whoever checks them.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::machine::Time;
use crate::sql::TableName;

/// So many digests may come at once, for the live queries that a reconnect loads anew: as many as have a watch.
const BURST: u32 = 4;

/// One per client: the pace that the live queries on a table share, since the server does the work for each of them.
#[derive(Debug, Default)]
pub struct Paces {
    /// When a table would have been asked for the last time if all had kept their distance.
    tables: HashMap<TableName, Time, RandomState>,
}

impl Paces {
    /// A digest of this table was asked for, and the next one should keep this `distance`. Returns before when no live
    /// query on the table should ask for another.
    pub fn asked(&mut self, now: Time, table: &TableName, distance: Duration) -> Time {
        self.tables.retain(|_, at| *at + distance * BURST > now);
        let at = self.tables.entry_ref(table).or_insert(now);
        *at = (*at).max(now) + distance;
        at.saturating_sub(distance * (BURST - 1)).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_asked_now_and_then() {
        let table = |name: &str| TableName { namespace: "app".into(), name: name.into() };
        let (one, other) = (table("one"), table("other"));
        let mut paces = Paces::default();
        let distance = Duration::from_secs(2);
        let start = Time::from_secs(100);
        let mut now = start;
        let mut asked = 0;
        while now < start + Duration::from_secs(60) {
            now = paces.asked(now, &one, distance);
            asked += 1;
        }
        assert_eq!(asked, 30 + BURST - 1);
        assert_eq!(paces.asked(now, &other, distance), now, "tables do not wait for each other");
        let later = now + Duration::from_secs(600);
        assert_eq!(paces.asked(later, &other, distance), later);
        assert_eq!(paces.tables.len(), 1, "what is long past is forgotten");
    }
}
