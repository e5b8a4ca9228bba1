//! Servers that go away and come back.

use std::path::Path;

use kalam_embedded::{Data, Options};
use kalam_live::{ChangeEvent, Checkpoint, LiveEvents};
use kalam_scenarios::Failure;

use super::world::{ALL, OPEN, World, on_both_with};

#[tokio::test]
async fn restarted_on_the_same_data() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = |kind| Options {
        data: Data::Directory(directory.path().join(format!("{kind:?}"))),
        ..Options::default()
    };
    on_both_with(options, async |mut world: World| {
        let mut all = world.live(ALL).await?;
        let mut open = world.live(OPEN).await?;
        for round in 0..2 {
            world.becomes_right(&mut all, ALL).await?;
            world.becomes_right(&mut open, OPEN).await?;
            world.proxy.refuse(true);
            world.target.restart(async || Ok(())).await?;
            // Before the client is back.
            world.write(round).await?;
            world.proxy.refuse(false);
        }
        world.becomes_right(&mut all, ALL).await?;
        world.becomes_right(&mut open, OPEN).await?;
        assert_eq!(world.client.counters().connection.connects, 3);
        Ok(())
    })
    .await;
}

/// The numbers of other data may be smaller or greater, and say nothing.
#[tokio::test]
async fn restarted_on_other_data() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |kind| directory.path().join(format!("{kind:?}"));
    let options = |kind| Options { data: Data::Directory(path(kind)), ..Options::default() };
    on_both_with(options, async |mut world: World| {
        let (data, backup) = (path(world.target.kind), directory.path().join("backup"));
        world.target.restart(async || copy(&data, &backup)).await?;
        let mut live = world.live(OPEN).await?;
        let mut events = world.client.live_events(ALL).await?;
        world.becomes_right(&mut live, OPEN).await?;
        world.write(1).await?;
        world.becomes_right(&mut live, OPEN).await?;
        let before = next_checkpoint(&mut events).await?;
        world.proxy.refuse(true);
        world
            .target
            .restart(async || {
                std::fs::remove_dir_all(&data)?;
                copy(&backup, &data)
            })
            .await?;
        // Newer than what the backup does not have.
        world.write(2).await?;
        world.proxy.refuse(false);
        world.becomes_right(&mut live, OPEN).await?;
        // KalamDB does not tell that its data are others.
        while world.target.is_complete() {
            if let ChangeEvent::GapPossible { reason, .. } = events.next().await.ok_or("over")?? {
                assert!(reason.contains("replaced"), "{reason}");
                let after = next_checkpoint(&mut events).await?;
                assert_ne!(after.epoch(), before.epoch());
                break;
            }
        }
        std::fs::remove_dir_all(&backup)?;
        Ok(())
    })
    .await;
}

async fn next_checkpoint(events: &mut LiveEvents) -> Result<Checkpoint, Failure> {
    loop {
        let event = events.next().await.ok_or("the events are over")??;
        match events.checkpoint() {
            Some(checkpoint) if !event.rows().is_empty() => return Ok(checkpoint),
            _ => {}
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
