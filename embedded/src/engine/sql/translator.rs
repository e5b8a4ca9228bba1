//! Where the translation of a statement is: what may stand here, what was bound, what was read.

use sqlparser::ast::WindowSpec;

use super::{
    context::{Context, Source},
    relation::{RelationColumn, Scope},
    typed::{Bind, ParamKind},
};
use crate::engine::DataType;

/// The grouped columns and expressions: what may stand beside aggregates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grouping {
    pub(crate) columns: Vec<usize>,
    /// Other grouped expressions, as written.
    pub(crate) texts: Vec<String>,
}

/// What may stand where in one SELECT.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) scope: Scope,
    pub(crate) grouping: Option<Grouping>,
    /// Whether aggregates may stand here.
    pub(crate) aggregates: bool,
    /// Whether window functions may stand here.
    pub(crate) windows: bool,
    pub(crate) in_aggregate: bool,
    pub(crate) saw_aggregate: bool,
    /// Columns that were read.
    pub(crate) read: Vec<usize>,
    /// `WINDOW name AS (...)`.
    pub(crate) named_windows: Vec<(String, WindowSpec)>,
}

/// A query of WITH.
#[derive(Debug, Clone)]
pub(crate) struct Cte {
    pub(crate) name: String,
    /// Its name inside SQLite.
    pub(crate) sqlite: String,
    pub(crate) columns: Vec<RelationColumn>,
}

/// The translation of one statement's expressions; collects what is to be bound and what is read.
pub(crate) struct Translator<'a> {
    /// Where tables are looked up; without it there are no sub-queries.
    pub(crate) context: Option<&'a Context<'a>>,
    pub(crate) params: &'a [ParamKind],
    pub(crate) binds: Vec<Bind>,
    /// Live filters: columns are bound, and nothing may depend on the time or on chance.
    pub(crate) live: bool,
    /// The SELECTs around the place at hand, the innermost last. Never empty.
    pub(crate) frames: Vec<Frame>,
    /// Frames before this one can not be seen: FROM looks at nothing outside.
    pub(crate) seen_from: usize,
    pub(crate) ctes: Vec<Cte>,
    /// Everything that is read, sub-queries included.
    pub(crate) sources: Vec<Source>,
    /// Relations and CTEs named so far.
    pub(crate) names: usize,
    /// What the next SELECT's columns have to be: the recursive part of a CTE.
    pub(crate) expected: Option<Vec<DataType>>,
}

impl<'a> Translator<'a> {
    /// Expressions over nothing, or over the scope of a live query.
    pub(crate) fn new(scope: Scope, params: &'a [ParamKind]) -> Self {
        Self {
            context: None,
            params,
            binds: Vec::new(),
            live: false,
            frames: vec![Frame { scope, ..Frame::default() }],
            seen_from: 0,
            ctes: Vec::new(),
            sources: Vec::new(),
            names: 0,
            expected: None,
        }
    }

    /// A statement that may look up tables.
    pub(crate) fn within(context: &'a Context<'a>, scope: Scope) -> Self {
        Self { context: Some(context), ..Self::new(scope, context.params) }
    }

    pub(crate) fn frame(&self) -> &Frame {
        self.frames.last().expect("there is always a frame")
    }

    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("there is always a frame")
    }

    /// A name for a relation inside SQLite that no other has.
    pub(crate) fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    pub(crate) fn bind(&mut self, bind: Bind) -> String {
        self.binds.push(bind);
        format!("?{}", self.binds.len())
    }
}
