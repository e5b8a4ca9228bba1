//! Streams of events: whoever applies them has the rows, and none comes twice.

use std::collections::{BTreeMap, BTreeSet};

use kalam_live::{ChangeEvent, LiveEvents, SubscriptionConfig, SubscriptionOptions};
use kalam_scenarios::{Failure, cells, sorted};
use serde_json::Value;

use super::world::{ALL, OPEN, World, on_both};

/// What a program makes of the events.
struct Applied {
    events: LiveEvents,
    rows: BTreeMap<i64, Vec<Value>>,
    /// Deletes and changes by key and version.
    seen: BTreeSet<(i64, i64)>,
    /// Deletes since the last time it was asked.
    deletes: usize,
}

impl Applied {
    fn new(events: LiveEvents) -> Self {
        Self { events, rows: BTreeMap::new(), seen: BTreeSet::new(), deletes: 0 }
    }

    async fn next(&mut self) -> Result<(), Failure> {
        let event = self.events.next().await.ok_or("the events are over")??;
        for row in event.rows() {
            let id = row["id"].as_int().ok_or("a key")?;
            let version = row.version().ok_or("a version")?.get();
            assert!(self.seen.insert((id, version)), "{id} at {version} comes twice: {event:?}");
            match event {
                ChangeEvent::Delete { .. } => drop(self.rows.remove(&id)),
                _ => drop(self.rows.insert(id, cells(row)?)),
            }
        }
        match event {
            ChangeEvent::Delete { .. } => self.deletes += 1,
            ChangeEvent::GapPossible { reason, .. } => return Err(reason.into()),
            ChangeEvent::Lagged { .. } => return Err("lagged".into()),
            _ => {}
        }
        Ok(())
    }

    async fn comes_to(&mut self, world: &World, sql: &str) -> Result<(), Failure> {
        let expected = world.oracle.rows(sql).await?;
        while sorted(self.rows.values().cloned().collect()) != expected {
            self.next().await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn events_go_on_where_they_were() {
    on_both(async |world: World| {
        let mut all = Applied::new(world.client.live_events(ALL).await?);
        let mut open = Applied::new(world.client.live_events(OPEN).await?);
        for round in 0..6 {
            all.comes_to(&world, ALL).await?;
            open.comes_to(&world, OPEN).await?;
            world.network_is_down().await?;
            world.write(round).await?;
            if round % 2 == 0 {
                world.network_is_back();
            } else {
                // Lost again before it knows what it missed.
                let again = world.cut_before("subscription_ack", 2);
                let (_, ()) = tokio::join!(again, async { world.network_is_back() });
            }
        }
        all.comes_to(&world, ALL).await?;
        open.comes_to(&world, OPEN).await?;
        assert!(all.deletes > 0 && open.deletes > 0);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn another_program_goes_on_from_the_checkpoint() {
    on_both(async |world: World| {
        let mut first = Applied::new(world.client.live_events(OPEN).await?);
        first.comes_to(&world, OPEN).await?;
        let kept = loop {
            match first.events.checkpoint() {
                Some(checkpoint) => break checkpoint.to_string(),
                None => first.next().await?,
            }
        };
        let Applied { rows, seen, .. } = first;
        world.write(4).await?;
        let options = SubscriptionOptions::new().with_from(kept.parse::<kalam_live::Checkpoint>()?);
        let config = SubscriptionConfig::unnamed(OPEN).with_options(options);
        let events = world.client.live_events_with_config(config).await?;
        let mut second = Applied { events, rows, seen, deletes: 0 };
        second.comes_to(&world, OPEN).await?;
        assert!(second.deletes > 0);
        Ok(())
    })
    .await;
}
