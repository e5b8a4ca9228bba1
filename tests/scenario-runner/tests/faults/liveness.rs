//! Connections that stay open and are dead.

use kalam_fault_proxy::Flow;
use kalam_scenarios::Failure;

use super::world::{OPEN, World, on_both};

#[tokio::test]
async fn a_black_hole_is_found_by_the_pong_deadline() {
    on_both(async |world: World| is_found(&world, Flow::BlackHole).await).await;
}

#[tokio::test]
async fn a_half_open_connection_is_found_by_the_pong_deadline() {
    on_both(async |world: World| is_found(&world, Flow::HalfOpen).await).await;
}

/// Nothing but the missing pong tells: the connection does not end.
async fn is_found(world: &World, flow: Flow) -> Result<(), Failure> {
    let mut live = world.live(OPEN).await?;
    world.becomes_right(&mut live, OPEN).await?;
    for round in 0..2 {
        let (cuts, connects) = (world.proxy.cuts(), world.client.counters().connection.connects);
        world.proxy.set_flow(flow);
        world.write(round).await?;
        world.is_lost().await?;
        assert_eq!(world.proxy.cuts(), cuts, "the proxy ends nothing");
        world.proxy.set_flow(Flow::Open);
        // What was sent meanwhile is gone; its connection would be waited for until its time is up.
        world.proxy.cut();
        world.becomes_right(&mut live, OPEN).await?;
        assert!(world.client.counters().connection.connects > connects);
    }
    Ok(())
}
