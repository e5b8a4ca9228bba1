//! The model server with holes, held against the recordings: their statements and messages are replayed, and the frames
//! that it sends must be the recorded ones. Keys, versions and columns are translated; what is compared is which
//! subscription is told, what, in which order, with which columns and with which of a row's versions.

mod replayed;

use kalam_simulation::filter::Filter;

use replayed::{Recording, Table};

const OPEN: Filter = Filter::Is("v", "open");
const N_FROM_0: Filter = Filter::From(0);
const N_FROM_1: Filter = Filter::From(1);
const N_BELOW_2: Filter = Filter::Below(2);
const N_BELOW_4: Filter = Filter::Below(4);
const STATUS_OPEN: Filter = Filter::Is("grp", "open");
const CLOSED: Filter = Filter::Is("grp", "closed");

#[test]
fn several_subscriptions() {
    let table = Table {
        name: "w288de9.two",
        columns: &[("id", "id"), ("s", "v"), ("n", "n")],
        filters: &[
            ("s = 'open' AND n >= 0", Filter::And(&OPEN, &N_FROM_0)),
            ("NOT (s = 'open')", Filter::Not(&OPEN)),
            ("s = 'open' OR n < 2", Filter::Or(&OPEN, &N_BELOW_2)),
            ("n <= 3 AND n >= 1", Filter::And(&N_BELOW_4, &N_FROM_1)),
        ],
    };
    let compared = Recording::read("two_subs").replay(&table);
    assert_eq!(compared.changes, 50, "all of the recording");
    assert_eq!(compared.snapshots, 3);
}

#[test]
fn filters() {
    let table = Table {
        name: "w288de9.task",
        columns: &[("id", "id"), ("status", "grp"), ("pri", "n"), ("note", "v")],
        filters: &[
            ("status = 'open'", STATUS_OPEN),
            ("NOT (status = 'open')", Filter::Not(&STATUS_OPEN)),
            ("status IN ('open','hold')", Filter::In("grp", ["open", "hold"])),
            ("note IS NULL", Filter::IsNull("v")),
            ("pri > 1", Filter::From(2)),
            // No status is NULL there.
            ("status <> 'closed'", Filter::Not(&CLOSED)),
            ("status > 'm'", Filter::After("grp", "m")),
        ],
    };
    let compared = Recording::read("live_filter").replay(&table);
    assert_eq!(
        compared.changes, 15,
        "all but the frame of LIKE and that of ILIKE, which the model does not know"
    );
    assert_eq!(compared.snapshots, 6);
}

#[test]
fn projections_and_pages() {
    let table = Table {
        name: "w288de9.msg",
        columns: &[("id", "id"), ("room", "grp"), ("body", "v"), ("n", "n")],
        filters: &[],
    };
    let compared = Recording::read("live_basic").replay(&table);
    assert_eq!(compared.changes, 15, "all of the recording");
    assert_eq!(compared.snapshots, 7, "pages and all");
}
