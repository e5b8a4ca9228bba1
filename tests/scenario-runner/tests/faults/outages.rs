//! Connections that end, and end again.

use std::time::Duration;

use kalam_embedded::{Limits, Options};
use kalam_fault_proxy::{Direction, Flow};

use super::world::{ALL, OPEN, World, on_both, on_both_with};

#[tokio::test]
async fn several_subscriptions_in_different_phases() {
    on_both(async |world: World| {
        let mut settled = world.live(ALL).await?;
        world.becomes_right(&mut settled, ALL).await?;
        let (_, loading) = tokio::join!(world.cut_before("initial_data_batch", 3), world.live(ALL));
        let mut loading = loading?;
        world.network_is_down().await?;
        world.write(1).await?;
        let mut waiting = world.live(OPEN).await?;
        // Two are taken again, the third is asked for.
        let (_, ()) =
            tokio::join!(world.cut_before("subscription_ack", 3), async { world.network_is_back() });
        world.write(2).await?;
        world.becomes_right(&mut settled, ALL).await?;
        world.becomes_right(&mut loading, ALL).await?;
        world.becomes_right(&mut waiting, OPEN).await?;
        Ok(())
    })
    .await;
}

/// The ten slots are enough only if nothing is asked for that was closed meanwhile.
#[tokio::test]
async fn subscribe_and_unsubscribe_during_an_outage() {
    let ten = |_| Options {
        limits: Limits { subscriptions_per_user: 10, ..Limits::default() },
        ..Options::default()
    };
    on_both_with(ten, async |world: World| {
        let mut lives = Vec::new();
        for _ in 0..10 {
            let mut live = world.live(OPEN).await?;
            world.becomes_right(&mut live, OPEN).await?;
            lives.push(live);
        }
        world.network_is_down().await?;
        world.write(3).await?;
        for live in lives.drain(..5) {
            live.close().await?;
        }
        for _ in 0..5 {
            let short = world.live(ALL).await?;
            lives.push(world.live(OPEN).await?);
            drop(short);
        }
        world.network_is_back();
        for live in &mut lives {
            world.becomes_right(live, OPEN).await?;
        }
        let open: Vec<String> = world.client.subscriptions().await.iter().map(|s| s.id.to_string()).collect();
        let ours: Vec<&str> = lives.iter().map(|live| live.id()).collect();
        assert_eq!(open, ours);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn double_and_staggered_outages() {
    on_both(async |world: World| {
        let mut lives = Vec::new();
        for sql in [ALL, OPEN, ALL] {
            let mut live = world.live(sql).await?;
            world.becomes_right(&mut live, sql).await?;
            lives.push((live, sql));
        }
        let places =
            [("auth_success", 1), ("subscription_ack", 1), ("subscription_ack", 3), ("subscription_ack", 2)];
        for (round, (text, nth)) in places.into_iter().enumerate() {
            world.network_is_down().await?;
            world.write(round).await?;
            // The second outage is during the recovery from the first.
            let (_, ()) = tokio::join!(world.cut_before(text, nth), async { world.network_is_back() });
            world.write(10 + round).await?;
            if round % 2 == 1 {
                for (live, sql) in &mut lives {
                    world.becomes_right(live, sql).await?;
                }
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn rapid_flapping() {
    on_both(async |world: World| {
        let mut all = world.live(ALL).await?;
        let mut open = world.live(OPEN).await?;
        for round in 0..25 {
            let accepted = world.proxy.accepted();
            world.proxy.cut();
            world.write(round).await?;
            world.proxy.accepted_after(accepted).await;
            if round % 3 == 0 {
                world.proxy.cut_after(Direction::ToServer, 97 * round as u64);
            }
        }
        world.becomes_right(&mut all, ALL).await?;
        world.becomes_right(&mut open, OPEN).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn bytes_that_trickle_or_are_late() {
    on_both(async |world: World| {
        let mut live = world.live(ALL).await?;
        world.becomes_right(&mut live, ALL).await?;
        for (round, flow) in [Flow::Sliced(7), Flow::Slow(Duration::from_millis(30))].into_iter().enumerate()
        {
            world.proxy.set_flow(flow);
            world.proxy.cut();
            world.write(round).await?;
            world.becomes_right(&mut live, ALL).await?;
        }
        Ok(())
    })
    .await;
}
