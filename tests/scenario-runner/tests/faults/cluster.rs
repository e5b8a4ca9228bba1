//! Two nodes of a cluster, as far as their client can tell: two ways to one server.

use kalam_fault_proxy::{FaultProxy, Flow};
use kalam_live::{ChangeEvent, KalamClient, Lifecycle};
use kalam_scenarios::Failure;

use super::world::{ALL, OPEN, World, impatient, live, on_both, url};

/// The world's own proxy, and another.
async fn cluster(world: &World) -> Result<(FaultProxy, KalamClient), Failure> {
    let other = FaultProxy::start(world.target.url.trim_start_matches("http://").parse()?).await?;
    let urls = [url(&world.proxy), url(&other)];
    let client = impatient().urls(urls).user(&world.target.user).password(&world.target.password).build()?;
    world.meet(&client).await?;
    Ok((other, client))
}

#[tokio::test]
async fn a_node_that_is_gone_is_left() {
    on_both(async |world: World| {
        let (other, client) = cluster(&world).await?;
        let mut all = live(&client, ALL).await?;
        let mut open = live(&client, OPEN).await?;
        for round in 0..4 {
            world.becomes_right(&mut all, ALL).await?;
            world.becomes_right(&mut open, OPEN).await?;
            let mut lifecycle = client.lifecycle();
            let (gone, there) = if round % 2 == 0 { (&world.proxy, &other) } else { (&other, &world.proxy) };
            there.refuse(false);
            gone.refuse(true);
            gone.cut();
            world.write(round).await?;
            loop {
                let event = lifecycle.next().await.ok_or("the client is gone")?;
                if let Lifecycle::Connected { url: connected, .. } = event {
                    let host = there.address().to_string();
                    assert!(connected.contains(&host), "{connected} is not {host}");
                    break;
                }
            }
            // Statements find the way too.
            let counted = client.query("SELECT count(*) AS n FROM f.t", &[]).await?;
            assert!(counted[0]["n"].as_int() > Some(0));
        }
        world.becomes_right(&mut all, ALL).await?;
        world.becomes_right(&mut open, OPEN).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_not_well_is_left() {
    on_both(async |world: World| {
        let (other, client) = cluster(&world).await?;
        let mut open = live(&client, OPEN).await?;
        world.becomes_right(&mut open, OPEN).await?;
        for round in 0..2 {
            // It takes connections, and says nothing on them.
            let (sick, well) = if round % 2 == 0 { (&world.proxy, &other) } else { (&other, &world.proxy) };
            well.set_flow(Flow::Open);
            well.cut();
            sick.set_flow(Flow::BlackHole);
            world.write(round).await?;
            world.becomes_right(&mut open, OPEN).await?;
        }
        Ok(())
    })
    .await;
}

/// KalamDB's nodes number by themselves, and do not say who they are. A server that says whose data it has is the same
/// at every address.
#[tokio::test]
async fn events_are_not_resumed_at_another_node() {
    on_both(async |world: World| {
        let (other, client) = cluster(&world).await?;
        world.proxy.refuse(true);
        world.proxy.cut();
        let mut events = client.live_events(ALL).await?;
        let mut first = std::collections::BTreeSet::new();
        while first.len() < 300 {
            let event = events.next().await.ok_or("over")??;
            first.extend(event.rows().iter().filter_map(|row| row["id"].as_int()));
        }
        world.proxy.refuse(false);
        other.refuse(true);
        other.cut();
        world.run("INSERT INTO f.t (id, s) VALUES (5000, 'new')").await?;
        let (mut told, mut again) = (Vec::new(), 0);
        loop {
            let event = events.next().await.ok_or("over")??;
            match &event {
                ChangeEvent::Resumed { .. } => told.push("resumed"),
                ChangeEvent::Ack { .. } => told.push("ack"),
                ChangeEvent::GapPossible { .. } => told.push("gap"),
                _ => again += event.rows().len(),
            }
            if event.rows().iter().any(|row| row["id"].as_int() == Some(5000)) {
                break;
            }
        }
        if world.target.is_complete() {
            assert_eq!((told, again), (vec!["resumed"], 1));
        } else {
            assert_eq!((told, again), (vec!["ack", "gap"], 301));
        }
        Ok(())
    })
    .await;
}
