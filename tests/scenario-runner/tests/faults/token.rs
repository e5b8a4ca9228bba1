//! Tokens that expire while the network is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kalam_embedded::Options;
use kalam_live::{ErrorCode, KalamClient};
use kalam_scenarios::{Failure, Oracle, Target, TargetKind};

use super::world::{ALL, OPEN, World, builder, live, on_both_with};

fn short_lived(_: TargetKind) -> Options {
    Options { access_token_lifetime: Duration::from_secs(3), ..Options::default() }
}

/// A token that is good now. Past the proxy.
async fn token(target: &Target) -> Result<String, Failure> {
    Oracle::login(target).await?.refresh().await
}

/// Waits until the server no longer takes it.
async fn expires(target: &Target, token: &str) -> Result<(), Failure> {
    let client = KalamClient::builder().url(&target.url).token(token).build()?;
    loop {
        match client.query("SELECT 1", &[]).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) if error.code() == ErrorCode::AuthFailed => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test]
async fn a_login_is_done_again() {
    on_both_with(short_lived, async |world: World| {
        let mut live = world.live(OPEN).await?;
        world.becomes_right(&mut live, OPEN).await?;
        world.network_is_down().await?;
        world.write(1).await?;
        // As old as the client's, or younger.
        expires(&world.target, &token(&world.target).await?).await?;
        world.network_is_back();
        world.becomes_right(&mut live, OPEN).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_token_provider_is_asked_again() {
    on_both_with(short_lived, async |world: World| {
        let asked = Arc::new(AtomicUsize::new(0));
        let provider = {
            let (asked, oracle) = (asked.clone(), Arc::new(Oracle::login(&world.target).await?));
            move || {
                asked.fetch_add(1, Ordering::SeqCst);
                let oracle = oracle.clone();
                async move { oracle.refresh().await }
            }
        };
        let world = World { client: builder(&world.proxy).token_provider(provider).build()?, ..world };
        let mut all = world.live(ALL).await?;
        let mut open = world.live(OPEN).await?;
        world.becomes_right(&mut all, ALL).await?;
        world.network_is_down().await?;
        let before = asked.load(Ordering::SeqCst);
        world.write(2).await?;
        expires(&world.target, &token(&world.target).await?).await?;
        world.network_is_back();
        world.becomes_right(&mut all, ALL).await?;
        world.becomes_right(&mut open, OPEN).await?;
        assert!(asked.load(Ordering::SeqCst) > before);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_nobody_renews_ends_it_with_a_reason() {
    on_both_with(short_lived, async |world: World| {
        let token = token(&world.target).await?;
        let client = builder(&world.proxy).token(&token).build()?;
        let mut live = live(&client, ALL).await?;
        let world = World { client, ..world };
        world.becomes_right(&mut live, ALL).await?;
        world.network_is_down().await?;
        expires(&world.target, &token).await?;
        world.network_is_back();
        let error = loop {
            match live.next_rows().await.ok_or("it ends without a word")? {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), ErrorCode::AuthFailed);
        assert!(!error.to_string().contains(&token) && !error.retryable(), "{error}");
        assert!(live.next_rows().await.is_none());
        Ok(())
    })
    .await;
}
