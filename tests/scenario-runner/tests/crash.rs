//! `kill -9` at random under load: no write that was acknowledged is lost, no transaction torn, and every subscriber right
//! after it has reconnected.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use kalam_embedded::{Data, Embedded, Options};
use kalam_live::{
    ChangeEvent, KalamClient, LiveEvents, LiveRows, Phase, Reconnect, SubscriptionConfig, SubscriptionOptions,
};
use kalam_scenarios::{Failure, Oracle, Target, cells, sorted};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

const KILLS: usize = 30;
const WRITERS: i64 = 8;
/// How long the server may write before it is killed, at most.
const LONGEST_LIFE: Duration = Duration::from_millis(250);
/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(50);
const DIRECTORY: &str = "KALAM_CRASH_DIRECTORY";
const PORT: &str = "KALAM_CRASH_PORT";

/// Not a test of its own: the process that the next one kills.
#[test]
fn server() {
    let (Ok(directory), Ok(port)) = (std::env::var(DIRECTORY), std::env::var(PORT)) else { return };
    let port = port.parse().expect("a port");
    let options = Options { data: Data::Directory(directory.into()), port, ..Options::default() };
    let server = Embedded::start(Target::options(options)).expect("the server starts");
    let mut out = std::io::stdout();
    writeln!(out, "listening on port {}.", server.port()).expect("somebody reads");
    out.flush().expect("somebody reads");
    loop {
        std::thread::park();
    }
}

struct Server(Child);

impl Server {
    fn start(directory: &Path, port: u16) -> Result<(Self, u16), Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["server", "--exact", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(PORT, port.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let server = Self(child);
        for line in BufReader::new(out).lines() {
            if let Some((_, port)) = line?.split_once("listening on port ") {
                return Ok((server, port.trim_end_matches('.').parse()?));
            }
        }
        Err("the server did not start".into())
    }
}

/// SIGKILL, on Unix.
impl Drop for Server {
    fn drop(&mut self) {
        // It is there until it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes of one life of the server.
#[derive(Default)]
struct Wrote {
    /// Ids of rows that were acknowledged.
    rows: Vec<i64>,
    /// The same of pairs, each made in one transaction.
    pairs: Vec<i64>,
}

/// Writes until the server is gone: rows, pairs in one transaction, and updates in and out of the filter.
async fn write(oracle: Arc<Oracle>, next: Arc<AtomicI64>, stop: Arc<AtomicBool>) -> Wrote {
    let mut wrote = Wrote::default();
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let insert = format!("INSERT INTO c.t VALUES ({id}, 'open')");
        if oracle.run(&insert).await.is_err() {
            break;
        }
        wrote.rows.push(id);
        let (update, pair) = (
            format!("UPDATE c.t SET s = 'closed' WHERE id = {}", id - WRITERS),
            format!(
                "BEGIN; INSERT INTO c.pairs VALUES ({id}, {id}); INSERT INTO c.pairs VALUES (-{id}, {id}); COMMIT"
            ),
        );
        if id % 3 == 0 && oracle.run(&update).await.is_err() {
            break;
        }
        if id % 5 == 0 {
            if oracle.run(&pair).await.is_err() {
                break;
            }
            wrote.pairs.push(id);
        }
    }
    wrote
}

/// What a program makes of raw events.
struct Applied {
    events: LiveEvents,
    rows: BTreeMap<i64, Vec<Value>>,
}

impl Applied {
    async fn becomes(&mut self, expected: &[Vec<Value>]) -> Result<(), Failure> {
        while sorted(self.rows.values().cloned().collect()) != expected {
            let event = self.events.next().await.ok_or("the events are over")??;
            if matches!(event, ChangeEvent::GapPossible { .. }) {
                return Err(format!("{event:?}").into());
            }
            for row in event.rows() {
                let id = row["id"].as_int().ok_or("a key")?;
                match event {
                    ChangeEvent::Delete { .. } => drop(self.rows.remove(&id)),
                    _ => drop(self.rows.insert(id, cells(row)?)),
                }
            }
        }
        Ok(())
    }
}

/// A reader of live rows.
struct Watched {
    live: LiveRows,
    /// What it was shown last, unless there was something to wait for. A server that was killed before it wrote leaves
    /// nothing new to show.
    shown: Option<Vec<Vec<Value>>>,
}

impl Watched {
    async fn open(client: &KalamClient, sql: &str) -> Result<Self, Failure> {
        Ok(Self { live: client.live(sql).await?, shown: None })
    }

    async fn becomes(&mut self, expected: &[Vec<Value>]) -> Result<(), Failure> {
        while self.shown.as_deref() != Some(expected) {
            let rows = self.live.next_rows().await.ok_or("the live query is over")??;
            let shown = sorted(rows.iter().map(cells).collect::<Result<_, _>>()?);
            self.shown = (rows.phase() == Phase::Live).then_some(shown);
        }
        Ok(())
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(format!("{what}: it takes too long").into()))
}

/// Numbers that differ from run to run, since kills at the same moments would find the same.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_under_load() -> Result<(), Failure> {
    const OPEN: &str = "SELECT id, s FROM c.t WHERE s = 'open'";
    const ALL: &str = "SELECT id, s FROM c.t";
    let directory = tempfile::tempdir()?;
    let (mut server, port) = Server::start(directory.path(), 0)?;
    let target = Target::at(format!("http://127.0.0.1:{port}"));
    let oracle = Arc::new(Oracle::login(&target).await?);
    oracle.run("CREATE NAMESPACE c").await?;
    oracle.run("CREATE TABLE c.t (id BIGINT PRIMARY KEY, s TEXT)").await?;
    oracle.run("CREATE TABLE c.pairs (id BIGINT PRIMARY KEY, pair BIGINT)").await?;

    let reconnect = Reconnect::default().with_delays(Duration::from_millis(10), Duration::from_millis(50));
    let client = KalamClient::builder().url(target.url.clone()).user(&target.user).password(&target.password);
    let client = client.reconnect(reconnect).build()?;
    let mut open = Watched::open(&client, OPEN).await?;
    let mut all = Watched::open(&client, ALL).await?;
    let options = SubscriptionOptions::new().with_batch_size(500);
    let config = SubscriptionConfig::unnamed(OPEN).with_options(options);
    let mut events = Applied { events: client.live_events_with_config(config).await?, rows: BTreeMap::new() };

    let mut seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64 | 1;
    let next = Arc::new(AtomicI64::new(1));
    let (mut rows, mut pairs) = (BTreeSet::new(), BTreeSet::new());
    let began = Instant::now();
    for kill in 1..=KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(oracle.clone(), next.clone(), stop.clone()));
        }
        // How long it lives is the fault that is tested, not a wait for something.
        tokio::time::sleep(LONGEST_LIFE.mul_f64(random(&mut seed) as f64 / u64::MAX as f64)).await;
        drop(server);
        stop.store(true, Ordering::Relaxed);
        while let Some(wrote) = writers.join_next().await {
            let wrote = wrote?;
            rows.extend(wrote.rows);
            pairs.extend(wrote.pairs);
        }
        server = Server::start(directory.path(), port)?.0;

        let expected = oracle.rows(ALL).await?;
        let there: BTreeSet<i64> = ids(&expected)?;
        let lost: Vec<_> = rows.difference(&there).collect();
        assert!(lost.is_empty(), "kill {kill}: acknowledged and lost: {lost:?}");
        let halves = ids(&oracle.rows("SELECT id, pair FROM c.pairs").await?)?;
        let torn: Vec<_> = halves.iter().filter(|id| !halves.contains(&-**id)).collect();
        assert!(torn.is_empty(), "kill {kill}: halves of transactions: {torn:?}");
        let lost: Vec<_> = pairs.difference(&halves).collect();
        assert!(lost.is_empty(), "kill {kill}: acknowledged and lost: {lost:?}");

        let is_open = |row: &&Vec<Value>| row[1] == json!("open");
        let expected_open: Vec<_> = expected.iter().filter(is_open).cloned().collect();
        in_time(&format!("kill {kill}: {OPEN}"), open.becomes(&expected_open)).await?;
        in_time(&format!("kill {kill}: {ALL}"), all.becomes(&expected)).await?;
        in_time(&format!("kill {kill}: events"), events.becomes(&expected_open)).await?;
    }
    assert!(!rows.is_empty() && !pairs.is_empty(), "there was no load");
    println!("{KILLS} kills, {} rows, {} pairs, {:?}", rows.len(), pairs.len(), began.elapsed());
    Ok(())
}

/// The keys, which are the first column and a string on the wire.
fn ids(rows: &[Vec<Value>]) -> Result<BTreeSet<i64>, Failure> {
    rows.iter().map(|row| Ok(row[0].as_str().ok_or("a key")?.parse()?)).collect()
}
