//! Servers that go away and come back.

use kalam_embedded::{Data, Options};

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
