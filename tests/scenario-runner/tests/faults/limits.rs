//! Limits that are hit when everything is asked for again.

use std::time::Duration;

use kalam_embedded::{Holes, Limits, Options};
use kalam_scenarios::TargetKind;

use super::world::{ALL, OPEN, World, on_both_with};

const FULL: &str = "SUBSCRIPTION_LIMIT_EXCEEDED";
const TOO_FAST: &str = "RATE_LIMIT_EXCEEDED";

/// The server does not know that a connection is dead, which holds all the slots for a while.
#[tokio::test]
async fn slots_that_a_dead_connection_holds() {
    let options = |_| Options {
        limits: Limits { subscriptions_per_user: 10, ..Limits::default() },
        heartbeat_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    on_both_with(options, async |world: World| {
        let mut lives = Vec::new();
        for _ in 0..10 {
            let mut live = world.live(OPEN).await?;
            world.becomes_right(&mut live, OPEN).await?;
            lives.push(live);
        }
        assert_eq!(world.proxy.said(FULL), 0);
        world.proxy.hold(true);
        world.proxy.cut();
        world.write(1).await?;
        for live in &mut lives {
            world.becomes_right(live, OPEN).await?;
        }
        assert!(world.proxy.said(FULL) > 0, "the slots were full");
        world.proxy.hold(false);
        Ok(())
    })
    .await;
}

/// A server that tells its limits is not asked too fast; one that does not loses messages, which are sent again.
#[tokio::test]
async fn messages_that_are_too_many() {
    let options = |kind| {
        // Without KalamDB's own limits, which are the client's assumption.
        let holes = Holes { limits: false, ..Holes::kalamdb_0_4() };
        Options {
            limits: Limits { messages_per_second: 15, subscriptions_per_user: 50, ..Limits::default() },
            emulate: (kind == TargetKind::Emulated).then_some(holes),
            ..Options::default()
        }
    };
    on_both_with(options, async |world: World| {
        assert_eq!(world.proxy.said(TOO_FAST), 0);
        let mut lives = Vec::new();
        for n in 0..20 {
            let sql = if n % 2 == 0 { ALL } else { OPEN };
            lives.push((world.client.live(sql).await?, sql));
        }
        for round in 0..2 {
            for (live, sql) in &mut lives {
                world.becomes_right(live, sql).await?;
            }
            world.proxy.cut();
            world.write(round).await?;
        }
        for (live, sql) in &mut lives {
            world.becomes_right(live, sql).await?;
        }
        assert_eq!(world.proxy.said(TOO_FAST) > 0, world.target.kind == TargetKind::Emulated);
        Ok(())
    })
    .await;
}
