//! A server, a proxy in front of it, and a client behind that.

use std::ops::Range;
use std::time::Duration;

use kalam_embedded::Options;
use kalam_fault_proxy::FaultProxy;
use kalam_live::{
    ConnectionState, KalamClient, KalamClientBuilder, LiveRows, LiveRowsConfig, Phase, Reconnect, Rows,
    SubscriptionConfig, SubscriptionOptions, Timeouts,
};
use kalam_scenarios::{Failure, Oracle, Target, TargetKind, cells, sorted};
use tokio::time::timeout;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) const ALL: &str = "SELECT id, s FROM f.t";
pub(crate) const OPEN: &str = "SELECT id, s FROM f.t WHERE s = 'open'";
/// Rows of the table at first, and in one page of a snapshot.
pub(crate) const ROWS: i64 = 300;
const PAGE: u32 = 50;

pub(crate) struct World {
    pub(crate) proxy: FaultProxy,
    pub(crate) oracle: Oracle,
    pub(crate) client: KalamClient,
    pub(crate) target: Target,
}

/// Runs a test on both kinds of server.
pub(crate) async fn on_both(test: impl AsyncFn(World) -> Result<(), Failure>) {
    on_both_with(|_| Options::default(), test).await;
}

pub(crate) async fn on_both_with(
    options: impl Fn(TargetKind) -> Options,
    test: impl AsyncFn(World) -> Result<(), Failure>,
) {
    for kind in [TargetKind::Embedded, TargetKind::Emulated] {
        let played = timeout(PATIENCE, async { test(World::new(kind, options(kind)).await?).await }).await;
        let played = played.unwrap_or_else(|_| Err("it takes too long".into()));
        played.unwrap_or_else(|failure| panic!("{kind:?}: {failure}"));
    }
}

impl World {
    /// `f.t` of 300 rows, and a client that is connected and knows its key.
    pub(crate) async fn new(kind: TargetKind, options: Options) -> Result<Self, Failure> {
        let target = Target::start(kind, options)?;
        let oracle = Oracle::login(&target).await?;
        oracle.run("CREATE NAMESPACE f").await?;
        oracle.run("CREATE TABLE f.t (id INT PRIMARY KEY, s TEXT) WITH (TYPE='USER')").await?;
        let proxy = FaultProxy::start(target.url.trim_start_matches("http://").parse()?).await?;
        let client = builder(&proxy).user(&target.user).password(&target.password).build()?;
        let world = Self { proxy, oracle, client, target };
        world.insert(0..ROWS).await?;
        world.meet(&world.client).await?;
        Ok(world)
    }

    /// Lets a client find out what it asks only once.
    pub(crate) async fn meet(&self, client: &KalamClient) -> Result<(), Failure> {
        let mut live = client.live(ALL).await?;
        self.becomes_right(&mut live, ALL).await?;
        Ok(live.close().await?)
    }

    pub(crate) async fn insert(&self, ids: Range<i64>) -> Result<(), Failure> {
        let values: Vec<String> =
            ids.map(|id| format!("({id}, '{}')", if id % 2 == 0 { "open" } else { "closed" })).collect();
        self.run(&format!("INSERT INTO f.t (id, s) VALUES {}", values.join(", "))).await
    }

    /// Past the proxy.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.oracle.run(sql).await.map(drop)
    }

    /// A little of everything, in these five rows: into and out of the filter, gone, and gone and back.
    pub(crate) async fn write(&self, round: usize) -> Result<(), Failure> {
        let id = (round * 5 % (ROWS as usize - 5)) as i64;
        self.run(&format!("UPDATE f.t SET s = 'closed' WHERE id IN ({id}, {})", id + 1)).await?;
        self.run(&format!("UPDATE f.t SET s = 'open' WHERE id = {}", id + 1)).await?;
        self.run(&format!("DELETE FROM f.t WHERE id = {}", id + 2)).await?;
        self.run(&format!("DELETE FROM f.t WHERE id = {}", id + 3)).await?;
        self.run(&format!("INSERT INTO f.t (id, s) VALUES ({}, 'open')", id + 3)).await?;
        self.run(&format!("INSERT INTO f.t (id, s) VALUES ({}, 'open')", 1_000 + round)).await
    }

    pub(crate) async fn live(&self, sql: &str) -> Result<LiveRows, Failure> {
        live(&self.client, sql).await
    }

    /// Waits until the rows are those of the SELECT and the client stands by them.
    pub(crate) async fn becomes_right(&self, live: &mut LiveRows, sql: &str) -> Result<Rows, Failure> {
        let expected = self.oracle.rows(sql).await?;
        let mut shown = Vec::new();
        let mut phase = None;
        let follow = async {
            loop {
                let rows = live.next_rows().await.ok_or("the live query is over")??;
                phase = Some(rows.phase());
                shown = sorted(rows.iter().map(cells).collect::<Result<_, _>>()?);
                if phase == Some(Phase::Live) && shown == expected {
                    return Ok::<_, Failure>(rows);
                }
            }
        };
        timeout(PATIENCE, follow).await.unwrap_or_else(|_| {
            let count = |a: &[Vec<_>], b: &[Vec<_>]| a.iter().filter(|row| !b.contains(row)).count();
            let (more, less) = (count(&shown, &expected), count(&expected, &shown));
            Err(format!("{sql} stays {phase:?} with {more} rows too many and {less} missing").into())
        })
    }

    /// Waits until the client has noticed that it has no connection.
    pub(crate) async fn is_lost(&self) -> Result<(), Failure> {
        let lost = |state: &ConnectionState| matches!(state, ConnectionState::Reconnecting { .. });
        match self.client.watch_state().wait_for(lost).await {
            true => Ok(()),
            false => Err("the client is gone".into()),
        }
    }

    /// No connection, until [`network_is_back`](Self::network_is_back).
    pub(crate) async fn network_is_down(&self) -> Result<(), Failure> {
        self.proxy.refuse(true);
        self.proxy.cut();
        self.is_lost().await
    }

    pub(crate) fn network_is_back(&self) {
        self.proxy.refuse(false);
    }

    /// The next connections end where the server says `text` for the `nth` time. Returns once that has happened.
    pub(crate) async fn cut_before(&self, text: &str, nth: u64) {
        let cuts = self.proxy.cuts();
        self.proxy.cut_before(text, nth);
        self.proxy.cut_happened(cuts).await;
    }
}

/// Without compression, through which the proxy does not see.
pub(crate) fn builder(proxy: &FaultProxy) -> KalamClientBuilder {
    impatient().url(url(proxy))
}

pub(crate) fn url(proxy: &FaultProxy) -> String {
    format!("http://{}", proxy.address())
}

pub(crate) fn impatient() -> KalamClientBuilder {
    let timeouts = Timeouts {
        keepalive: Duration::from_millis(500),
        pong: Duration::from_millis(500),
        connect: Duration::from_secs(3),
        auth: Duration::from_secs(3),
        ..Timeouts::default()
    };
    let reconnect = Reconnect::default().with_delays(Duration::from_millis(20), Duration::from_millis(200));
    KalamClient::builder().compression(false).timeouts(timeouts).reconnect(reconnect)
}

pub(crate) async fn live(client: &KalamClient, sql: &str) -> Result<LiveRows, Failure> {
    let options = SubscriptionOptions::new().with_batch_size(PAGE);
    let config = SubscriptionConfig::unnamed(sql).with_options(options);
    Ok(client.live_with_config(config, LiveRowsConfig::default()).await?)
}
