//! Plans of statements seen before, by text: parsing and checking cost more than a small statement itself.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    catalog::Table,
    sql::{
        context::{QueryPlan, Source},
        dml::{DeletePlan, InsertPlan, Returning, UpdatePlan},
        typed::ParamKind,
    },
};

const CAPACITY: usize = 512;
/// Longer texts are rarely sent twice.
const MAX_TEXT: usize = 4096;

/// A checked statement. It holds for the catalog it was made under, for any caller and any parameters of the same kinds.
pub(crate) enum Plan {
    Query(QueryPlan),
    Write(WritePlan),
}

pub(crate) enum WritePlan {
    Insert(InsertPlan),
    Update(UpdatePlan),
    Delete(DeletePlan),
}

impl WritePlan {
    /// The table that is written to.
    pub(crate) fn table(&self) -> &Arc<Table> {
        match self {
            Self::Insert(plan) => &plan.table,
            Self::Update(plan) => &plan.table,
            Self::Delete(plan) => &plan.table,
        }
    }

    /// What its sub-queries read.
    pub(crate) fn sources(&self) -> &[Source] {
        match self {
            Self::Insert(plan) => &plan.sources,
            Self::Update(plan) => &plan.sources,
            Self::Delete(plan) => &plan.sources,
        }
    }

    pub(crate) fn returning(&self) -> Option<&Returning> {
        match self {
            Self::Insert(plan) => plan.returning.as_ref(),
            Self::Update(plan) => plan.returning.as_ref(),
            Self::Delete(plan) => plan.returning.as_ref(),
        }
    }
}

#[derive(PartialEq, Eq, Hash, Clone)]
pub(crate) struct PlanKey {
    sql: Box<str>,
    namespace: Box<str>,
    kinds: Box<[ParamKind]>,
}

impl PlanKey {
    /// `None` when the statement is not worth keeping.
    pub(crate) fn new(sql: &str, namespace: &str, kinds: &[ParamKind]) -> Option<Self> {
        (sql.len() <= MAX_TEXT).then(|| Self {
            sql: sql.into(),
            namespace: namespace.into(),
            kinds: kinds.into(),
        })
    }
}

#[derive(Default)]
pub(crate) struct Plans {
    kept: Mutex<HashMap<PlanKey, (u64, Arc<Plan>)>>,
}

impl Plans {
    pub(crate) fn get(&self, key: &PlanKey, version: u64) -> Option<Arc<Plan>> {
        let kept = self.kept.lock();
        kept.get(key).filter(|(made, _)| *made == version).map(|(_, plan)| Arc::clone(plan))
    }

    /// Keeps the plan, if it is likely to be asked for again: writes full of literals are not.
    pub(crate) fn put(&self, key: &PlanKey, version: u64, plan: &Arc<Plan>) {
        if key.kinds.is_empty() && !matches!(**plan, Plan::Query(_)) {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= CAPACITY {
            // Rare, and what is in use comes back at once.
            kept.clear();
        }
        kept.insert(key.clone(), (version, Arc::clone(plan)));
    }
}
