//! Faults while rows are being loaded.

use kalam_fault_proxy::Direction;
use kalam_scenarios::Failure;

use super::world::{ALL, OPEN, World, on_both};

const ACK: &str = "subscription_ack";
const BATCH: &str = "initial_data_batch";

#[tokio::test]
async fn cut_after_the_ack_and_before_the_first_batch() {
    on_both(async |world: World| {
        for (round, sql) in [ALL, OPEN].into_iter().enumerate() {
            let acks = world.proxy.said(ACK);
            let (cut, live) = tokio::join!(world.cut_before(BATCH, 1), world.live(sql));
            let mut live = live?;
            let () = cut;
            assert!(world.proxy.said(ACK) > acks, "the ack came");
            world.write(round).await?;
            world.becomes_right(&mut live, sql).await?;
            live.close().await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn cut_in_the_middle_of_a_paged_snapshot_again_and_again() {
    on_both(async |world: World| {
        let (_, live) = tokio::join!(world.cut_before(BATCH, 3), world.live(ALL));
        let mut live = live?;
        // The last page, the first, and some between.
        for (round, page) in [6, 2, 4, 1, 5].into_iter().enumerate() {
            world.write(round).await?;
            // The rest of a page before may still be counted.
            world.network_is_down().await?;
            let (_, ()) = tokio::join!(world.cut_before(BATCH, page), async { world.network_is_back() });
        }
        world.write(9).await?;
        world.becomes_right(&mut live, ALL).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn writes_while_loading_while_cutting() {
    on_both(async |world: World| {
        let cuts = async {
            for page in [1, 3, 2, 5, 4, 2] {
                world.cut_before(BATCH, page).await;
            }
        };
        let writes = async {
            for round in 0..40 {
                world.write(round).await?;
            }
            Ok::<_, Failure>(())
        };
        let (_, written, live) = tokio::join!(cuts, writes, world.live(ALL));
        written?;
        let mut live = live?;
        world.becomes_right(&mut live, ALL).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn cut_after_any_number_of_bytes() {
    on_both(async |world: World| {
        for (round, bytes) in (0..6_000).step_by(397).enumerate() {
            let cuts = world.proxy.cuts();
            world.proxy.cut_after(Direction::ToClient, bytes);
            let mut live = world.live(OPEN).await?;
            world.proxy.cut_happened(cuts).await;
            world.write(round).await?;
            world.becomes_right(&mut live, OPEN).await?;
            live.close().await?;
        }
        Ok(())
    })
    .await;
}
