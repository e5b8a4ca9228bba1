//! The open subscriptions, by key and by the id on the wire.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};

use super::Time;
use super::event::{Decoding, SubscriptionKey};
use super::subscription::{Incarnation, Stage, Subscription};
use crate::protocol::{Plans, RowPlan};

/// Ordered maps: what is done for all subscriptions is done in the order in which they were made, so that a run with the
/// same inputs is the same run.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_key: BTreeMap<SubscriptionKey, Subscription>,
    by_wire_id: BTreeMap<CompactString, SubscriptionKey>,
    made: u64,
    /// How many leave changes to their readers.
    deferring: usize,
    incarnations: u64,
}

impl Table {
    pub(super) fn insert(&mut self, subscription: Subscription) -> SubscriptionKey {
        self.made += 1;
        self.deferring += usize::from(subscription.decoding == Decoding::ByReader);
        let key = SubscriptionKey(self.made);
        self.by_key.insert(key, subscription);
        key
    }

    /// An id that no open subscription has.
    pub(super) fn made_up_id(&self) -> CompactString {
        let mut n = self.made + 1;
        loop {
            let id = format_compact!("live{n}");
            if !self.has_id(&id) {
                return id;
            }
            n += 1;
        }
    }

    /// Whether some leave changes to their readers.
    pub(super) fn defers(&self) -> bool {
        self.deferring > 0
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        self.by_key.values().any(|s| s.id == id)
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.by_key.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.by_key.get_mut(&key)
    }

    pub(super) fn key_of(&self, wire_id: &str) -> Option<SubscriptionKey> {
        self.by_wire_id.get(wire_id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriptionKey, &Subscription)> {
        self.by_key.iter().map(|(key, subscription)| (*key, subscription))
    }

    pub(super) fn keys(&self) -> Vec<SubscriptionKey> {
        self.by_key.keys().copied().collect()
    }

    /// A wire id for the next incarnation: never used before, because its number is not.
    pub(super) fn next_wire_id(&mut self, id: &str) -> CompactString {
        self.incarnations += 1;
        format_compact!("{id}_{}", self.incarnations)
    }

    /// Whether this table has given out `wire_id`, now or earlier.
    pub(super) fn gave_out(&self, wire_id: &str) -> bool {
        let number = wire_id.rsplit_once('_').and_then(|(_, n)| n.parse::<u64>().ok());
        number.is_some_and(|n| (1..=self.incarnations).contains(&n))
    }

    /// Notes that the server knows the subscription.
    pub(super) fn sent(&mut self, key: SubscriptionKey, incarnation: Incarnation) {
        if let Some(subscription) = self.by_key.get_mut(&key) {
            self.by_wire_id.insert(incarnation.wire_id.clone(), key);
            subscription.stage = Stage::Sent(incarnation);
        }
    }

    /// Sets another stage and returns what the server knew of the subscription.
    pub(super) fn retire(&mut self, key: SubscriptionKey, stage: Stage) -> Option<Incarnation> {
        let subscription = self.by_key.get_mut(&key)?;
        let Stage::Sent(incarnation) = std::mem::replace(&mut subscription.stage, stage) else { return None };
        self.by_wire_id.remove(&incarnation.wire_id);
        Some(incarnation)
    }

    /// Forgets the subscription. Returns it with what the server knew of it.
    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<(Subscription, Option<Incarnation>)> {
        let incarnation = self.retire(key, Stage::Offline);
        let subscription = self.by_key.remove(&key)?;
        self.deferring -= usize::from(subscription.decoding == Decoding::ByReader);
        Some((subscription, incarnation))
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.by_key.values().filter_map(Subscription::deadline).min()
    }
}

impl Plans for Table {
    fn plan(&self, wire_id: &str) -> Option<&RowPlan> {
        self.get(self.key_of(wire_id)?)?.incarnation()?.plan.as_deref()
    }
}
