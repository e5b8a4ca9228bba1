//! Arbitrary sequences of frames, sensible or not, against the model.

use std::sync::Arc;

use proptest::prelude::*;

use super::model::Model;
use super::{Reader, row_of, schema};
use crate::error::ErrorCode;
use crate::live::{Begin, Changes, LiveOptions, LiveView, Phase};
use crate::row::Row;
use crate::schema::Schema;

#[derive(Clone, Debug)]
struct RowSpec {
    /// NULL once in a while.
    id: Option<i64>,
    body: &'static str,
    n: Option<i64>,
    version: i64,
    /// Now and then a row of other columns.
    stranger: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Begin {
        mode: Begin,
        wide: bool,
    },
    Batch(Vec<RowSpec>),
    Ready,
    Insert(RowSpec),
    Update(RowSpec),
    Delete(RowSpec),
    Interrupted,
    /// The rows were compared with the server's.
    Proven,
    Take,
}

fn row_spec() -> impl Strategy<Value = RowSpec> {
    (
        prop::option::weighted(0.99, 0i64..24),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::option::weighted(0.8, 0i64..4),
        0i64..60,
        prop::bool::weighted(0.01),
    )
        .prop_map(|(id, body, n, version, stranger)| RowSpec { id, body, n, version, stranger })
}

const BEGINNINGS: &[Begin] =
    &[Begin::Fresh, Begin::Fresh, Begin::Fresh, Begin::Since, Begin::Resumed, Begin::Resumed, Begin::Kept];

fn op() -> impl Strategy<Value = Op> {
    let begin = (prop::sample::select(BEGINNINGS), prop::bool::weighted(0.1));
    prop_oneof![
        2 => begin.prop_map(|(mode, wide)| Op::Begin { mode, wide }),
        4 => prop::collection::vec(row_spec(), 0..12).prop_map(Op::Batch),
        4 => Just(Op::Ready),
        4 => row_spec().prop_map(Op::Insert),
        8 => row_spec().prop_map(Op::Update),
        6 => row_spec().prop_map(Op::Delete),
        1 => Just(Op::Interrupted),
        1 => Just(Op::Proven),
        6 => Just(Op::Take),
    ]
}

fn options() -> impl Strategy<Value = LiveOptions> {
    (any::<bool>(), prop::option::of(1usize..8), any::<bool>()).prop_map(|(sorted, limit, partial)| {
        LiveOptions {
            order_by: sorted.then(|| "n DESC, body".parse().expect("valid")),
            limit,
            partial,
            ..LiveOptions::default()
        }
    })
}

/// A view and a model that are fed alike.
struct Pair {
    view: LiveView,
    model: Model,
    reader: Reader,
    schema: Arc<Schema>,
    taken: Option<Phase>,
}

impl Pair {
    fn new(options: LiveOptions) -> Self {
        Self {
            view: LiveView::new(options.clone()).expect("valid options"),
            model: Model::new(options),
            reader: Reader::default(),
            schema: schema(false),
            taken: None,
        }
    }

    fn row(&self, spec: &RowSpec) -> Row {
        let schema =
            if spec.stranger { schema(self.schema.columns().len() == 4) } else { self.schema.clone() };
        row_of(&schema, spec.id, spec.body, spec.n, Some(spec.version))
    }

    fn apply(&mut self, op: &Op) {
        let (ours, expected) = match op {
            Op::Begin { mode, wide } => {
                let new = schema(*wide);
                let expected = self.model.begin(new.clone(), *mode);
                if expected.is_ok() {
                    self.schema = new.clone();
                }
                (self.view.begin(new, *mode), expected)
            }
            Op::Batch(specs) => {
                let rows: Vec<Row> = specs.iter().map(|spec| self.row(spec)).collect();
                let expected = self.model.page().and_then(|()| {
                    specs.iter().zip(&rows).try_for_each(|(spec, row)| self.model.page_row(spec.id, row))
                });
                (self.view.batch(rows), expected)
            }
            Op::Ready => (self.view.ready(), self.model.ready()),
            Op::Insert(spec) => {
                let row = self.row(spec);
                (self.view.insert(row.clone()), self.model.change(spec.id, &row, true))
            }
            Op::Update(spec) => {
                let row = self.row(spec);
                (self.view.update(row.clone()), self.model.change(spec.id, &row, true))
            }
            Op::Delete(spec) => {
                let row = self.row(spec);
                (self.view.delete(row.clone()), self.model.change(spec.id, &row, false))
            }
            Op::Interrupted => {
                self.view.interrupted();
                self.model.interrupted();
                (Ok(()), Ok(()))
            }
            Op::Proven => {
                self.view.set_unverified(false);
                self.model.proven();
                (Ok(()), Ok(()))
            }
            Op::Take => return self.take(),
        };
        assert_eq!(ours.as_ref().map_err(|_| ()), expected.as_ref().map_err(|_| ()), "{op:?}");
        if let Err(error) = ours {
            assert_eq!(error.code(), ErrorCode::Protocol);
        }
    }

    fn take(&mut self) {
        let visible = self.model.visible();
        assert_eq!(self.view.phase(), self.model.phase());
        if !self.view.is_ready() {
            assert!(self.view.take().is_none());
            if let Some((rows, _)) = visible {
                assert_eq!(rows, self.reader.list, "something is new and the view does not say so");
                assert_eq!(Some(self.model.phase()), self.taken);
            }
            return;
        }
        let rows = self.view.take().expect("it is ready").expect("it did not fail");
        let (expected, last_seq) = visible.expect("nothing may be seen yet");
        assert!(rows.iter().eq(&expected), "{rows:?}, expected {expected:?}");
        assert_eq!(rows.last_seq_id().map(|seq| seq.get()), last_seq);
        assert_eq!(rows.phase(), self.model.phase());
        match rows.changes() {
            Changes::Reset => {
                assert!(self.model.must_reset || self.model.touched > crate::live::pending::FLOOR)
            }
            Changes::List(list) => {
                assert!(!self.model.must_reset);
                assert!(!list.is_empty() || self.taken != Some(rows.phase()), "a take that brings nothing");
            }
        }
        self.reader.follow(&rows);
        self.taken = Some(rows.phase());
        (self.model.touched, self.model.must_reset) = (0, false);
        assert!(!self.view.is_ready());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_frames_gives_the_models_rows(options in options(), ops in prop::collection::vec(op(), 0..120)) {
        let mut pair = Pair::new(options);
        for op in &ops {
            pair.apply(op);
        }
        pair.take();
    }

    #[test]
    fn a_live_view_follows_the_model(
        options in options(),
        first in prop::collection::vec(row_spec(), 0..30),
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let mut pair = Pair::new(options);
        pair.apply(&Op::Begin { mode: Begin::Fresh, wide: false });
        pair.apply(&Op::Batch(first));
        pair.apply(&Op::Ready);
        for op in ops.iter().filter(|op| !matches!(op, Op::Begin { .. } | Op::Interrupted)) {
            pair.apply(op);
        }
        pair.take();
    }
}
