//! Plays one scenario.

mod files;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kalam_live::{
    ChangeEvent, Checkpoint, ConnectionState, Error, KalamClient, LiveEvents, LiveRows, LiveRowsConfig,
    QueryResult, Row, Rows, SubscriptionConfig, SubscriptionOptions, Value,
};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use crate::cells::{cells, parameter};
use crate::oracle::sorted;
use crate::scenario::Step;
use crate::topics::Consumers;
use crate::{Failure, Oracle, Scenario, Target, replay};

/// How long rows may take to become what they must be.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked where nothing wakes who waits.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Rows of one INSERT of a `fill`.
const FILL: i64 = 300;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Plays the scenario in a namespace of its own, which is dropped afterwards, as are the users that it made.
///
/// # Errors
/// What did not come out as it should, with the step.
pub async fn play(scenario: &Scenario, target: &Target) -> Result<(), Failure> {
    let namespace = format!("s{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let oracle = Oracle::login(target).await?;
    oracle.run(&format!("CREATE NAMESPACE {namespace}")).await?;
    let mut player = Player::new(target, oracle)?;
    let played = player.play(scenario, &namespace).await;
    for client in player.clients.values() {
        client.close().await;
    }
    let mut cleaned = player.oracle.run(&format!("DROP NAMESPACE {namespace} CASCADE")).await.map(drop);
    for user in &player.users {
        cleaned = cleaned.and(player.oracle.run(&format!("DROP USER '{user}'")).await.map(drop));
    }
    played.and(cleaned)
}

struct Player<'a> {
    target: &'a Target,
    oracle: Oracle,
    clients: HashMap<String, KalamClient>,
    /// Made by the scenario.
    users: Vec<String>,
    lives: HashMap<String, Live>,
    streams: HashMap<String, LiveEvents>,
    checkpoints: HashMap<String, Checkpoint>,
    consumers: Consumers,
}

struct Live {
    handle: LiveRows,
    shown: Option<Rows>,
}

/// Why a step did not do what it should.
pub(crate) enum Stopped {
    /// The client says so, which the scenario may want.
    Refused(Error),
    Failed(Failure),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<String> for Stopped {
    fn from(message: String) -> Self {
        Self::Failed(message.into())
    }
}

pub(crate) type Done<T = ()> = Result<T, Stopped>;

impl<'a> Player<'a> {
    fn new(target: &'a Target, oracle: Oracle) -> Result<Self, Failure> {
        let client = client(target, &target.user, &target.password)?;
        Ok(Self {
            target,
            oracle,
            clients: HashMap::from([(String::new(), client)]),
            users: Vec::new(),
            lives: HashMap::new(),
            streams: HashMap::new(),
            checkpoints: HashMap::new(),
            consumers: Consumers::default(),
        })
    }

    async fn play(&mut self, scenario: &Scenario, namespace: &str) -> Result<(), Failure> {
        for step in &scenario.steps {
            let step = step.in_namespace(namespace);
            let here = if self.target.is_complete() { "complete" } else { "incomplete" };
            if step.get("only").is_some_and(|only| only != here) {
                continue;
            }
            let expected = step.get("error").and_then(Json::as_str);
            let done = timeout(PATIENCE * 6, self.step(&step))
                .await
                .map_err(|_| format!("{step} takes too long"))?;
            match (done, expected) {
                (Ok(()), None) => {}
                (Ok(()), Some(code)) => return Err(format!("{step} must fail with {code}").into()),
                (Err(Stopped::Refused(error)), Some(code)) if error.code().as_str() == code => {}
                (Err(Stopped::Refused(error)), _) => {
                    return Err(format!("{step}: {}: {}", error.code().as_str(), error.message()).into());
                }
                (Err(Stopped::Failed(failure)), _) => return Err(format!("{step}: {failure}").into()),
            }
        }
        Ok(())
    }

    fn client(&self, step: &Step) -> Result<KalamClient, Failure> {
        let name = step.get("on").and_then(Json::as_str).unwrap_or_default();
        self.clients.get(name).cloned().ok_or_else(|| format!("there is no client {name}").into())
    }

    async fn step(&mut self, step: &Step) -> Done {
        let client = self.client(step)?;
        match step.what.as_str() {
            "execute" => self.execute(&client, step).await,
            "fill" => fill(&client, step).await,
            "query" => query(&client, step).await,
            "query_one" => query_one(&client, step).await,
            "query_all" => query_all(&client, step).await,
            "batch" => {
                let statements = step.list("batch")?.iter().filter_map(Json::as_str);
                let changed = client.batch(statements).await?;
                let expected =
                    step.list("affected").unwrap_or_default().iter().filter_map(Json::as_u64).sum();
                equal("affected", &changed, &expected)
            }
            "execute_with_files" => files::upload(&client, step).await,
            "download_file" => files::download(&client, step).await,
            "live" | "live_table" => self.live(&client, step).await,
            "live_events" => self.live_events(&client, step).await,
            "rows" => self.rows(step).await,
            "phase" => self.phase(step).await,
            "events" => self.events(step).await,
            "checkpoint" => {
                let stream = self.streams.get(step.text("checkpoint")?).ok_or("no such stream".to_owned())?;
                let reached = stream.checkpoint().ok_or("there is no checkpoint yet".to_owned())?;
                self.checkpoints.insert(step.text("as")?.to_owned(), reached);
                Ok(())
            }
            "consumer" | "poll" | "iterate" | "mark" | "commit" | "commit_later" | "seek" | "position"
            | "offsets" | "run" => self.consumers.play(&client, step).await,
            "close" if self.consumers.knows(step.text("close")?) => self.consumers.play(&client, step).await,
            "close" => match self.handle(step.text("close")?)? {
                Handle::Rows(live) => Ok(live.handle.close().await?),
                Handle::Events(stream) => Ok(stream.close().await?),
            },
            "cancel" => Ok(client.cancel_subscription(step.text("cancel")?).await?),
            "ended" => match self.handle(step.text("ended")?)? {
                Handle::Rows(live) => {
                    while let Some(rows) = live.handle.next_rows().await {
                        rows?;
                    }
                    Ok(())
                }
                Handle::Events(stream) => {
                    while let Some(event) = stream.next().await {
                        event?;
                    }
                    Ok(())
                }
            },
            "subscriptions" => subscriptions(&client, step).await,
            "client" => {
                let new = self::client(self.target, step.text("user")?, step.text("password")?)?;
                new.connect().await?;
                self.clients.insert(step.text("client")?.to_owned(), new);
                Ok(())
            }
            "disconnect" => {
                client.disconnect().await;
                Ok(())
            }
            "connect" => Ok(client.connect().await?),
            "network_changed" => {
                client.network_changed();
                Ok(())
            }
            "health" => equal("status", &client.health().await?.status, &"healthy".to_owned()),
            "counters" => match step.text("counters")? {
                "connects" => {
                    let connects = client.counters().connection.connects.to_string();
                    equal("connects", &connects, &step.number("is")?.to_string())
                }
                other => Err(format!("no step asks for the counter {other}").into()),
            },
            "state" => {
                let wanted = step.text("state")?;
                let is_there = |state: &ConnectionState| state_name(state) == wanted;
                match client.watch_state().wait_for(is_there).await {
                    true => Ok(()),
                    false => Err(format!("the client is over instead of {wanted}").into()),
                }
            }
            other => Err(format!("there is no step called {other}").into()),
        }
    }

    async fn execute(&mut self, client: &KalamClient, step: &Step) -> Done {
        let sql = step.text("execute")?;
        if let Some(user) = sql.strip_prefix("CREATE USER '").and_then(|rest| rest.split('\'').next()) {
            self.users.push(user.to_owned());
        }
        let changed = client.execute(sql, &parameters(step)?).await?;
        match step.get("affected").and_then(Json::as_u64) {
            Some(expected) => equal("affected", &changed, &expected),
            None => Ok(()),
        }
    }

    async fn live(&mut self, client: &KalamClient, step: &Step) -> Done {
        let name = step.text(&step.what)?.to_owned();
        let config = match step.what.as_str() {
            "live_table" => SubscriptionConfig::table(step.text("table")?)?,
            _ => SubscriptionConfig::unnamed(step.text("sql")?),
        };
        let config = self.configured(config, step)?;
        let option = |name: &str| step.get("options").and_then(|options| options.get(name));
        let texts = |list: &Vec<Json>| list.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        let rows = LiveRowsConfig {
            limit: option("limit").and_then(Json::as_u64).and_then(|limit| usize::try_from(limit).ok()),
            key_columns: option("key_columns").and_then(Json::as_array).map(texts),
            order_by: option("order_by").and_then(Json::as_str).map(str::to_owned),
            partial: option("partial") == Some(&json!(true)),
            ..LiveRowsConfig::default()
        };
        let mut live = Live { handle: client.live_with_config(config, rows).await?, shown: None };
        // What the server refuses comes with the first rows.
        if step.get("error").is_some() {
            live.next().await?;
        }
        self.lives.insert(name, live);
        Ok(())
    }

    async fn live_events(&mut self, client: &KalamClient, step: &Step) -> Done {
        let config = self.configured(SubscriptionConfig::unnamed(step.text("sql")?), step)?;
        let mut stream = client.live_events_with_config(config).await?;
        if step.get("error").is_some()
            && let Some(event) = stream.next().await
        {
            event?;
        }
        self.streams.insert(step.text("live_events")?.to_owned(), stream);
        Ok(())
    }

    fn configured(&self, mut config: SubscriptionConfig, step: &Step) -> Result<SubscriptionConfig, Failure> {
        config.params = parameters(step)?;
        let option = |name: &str| step.get("options").and_then(|options| options.get(name));
        config.id = option("id").and_then(Json::as_str).map(str::to_owned);
        let number = |name| option(name).and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
        let mut options = SubscriptionOptions::new();
        if let Some(rows) = number("last_rows") {
            options = options.with_last_rows(rows);
        }
        if let Some(rows) = number("batch_size") {
            options = options.with_batch_size(rows);
        }
        if let Some(from) = option("from") {
            let kept = from["checkpoint"].as_str().and_then(|name| self.checkpoints.get(name));
            options = options.with_from(kept.ok_or_else(|| format!("{from} is no checkpoint"))?.clone());
        }
        config.options = Some(options);
        Ok(config)
    }

    /// The rows come to be what they must be, and `changes` say how on the way.
    async fn rows(&mut self, step: &Step) -> Done {
        let name = step.text("rows")?;
        let number = |name| step.get(name).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        let expected: Vec<Vec<Json>> = match step.get("equal_select").and_then(Json::as_str) {
            None => {
                serde_json::from_value(Json::from(step.list("are")?)).map_err(|error| error.to_string())?
            }
            Some(sql) => {
                let selected = self.oracle.select(sql).await?;
                match (number("newest"), number("first")) {
                    (Some(n), _) => selected.newest(n)?,
                    (_, Some(n)) => selected.first(n),
                    (None, None) => selected,
                }
                .into_rows()
            }
        };
        let is_set = step.get("equal_select").is_some();
        let expected = if is_set { sorted(expected) } else { expected };
        let live = self.lives.get_mut(name).ok_or_else(|| format!("nothing is called {name}"))?;
        let follow = async {
            loop {
                if let Some(shown) = &live.shown
                    && shown.phase().as_str() != "loading"
                {
                    let shown: Vec<Vec<Json>> = shown.iter().map(cells).collect::<Result<_, _>>()?;
                    if (if is_set { sorted(shown) } else { shown }) == expected {
                        return Ok(());
                    }
                }
                live.next().await?;
            }
        };
        match timeout(PATIENCE, follow).await {
            Ok(done) => done,
            Err(_) => {
                let shown = self.lives[name].shown.as_ref();
                let shown: Option<Vec<_>> = shown.map(|rows| rows.iter().flat_map(cells).collect());
                Err(format!("the rows stay {}, not {}", json!(shown), json!(expected)).into())
            }
        }
    }

    async fn phase(&mut self, step: &Step) -> Done {
        let wanted = step.text("is")?;
        let name = step.text("phase")?;
        let live = self.lives.get_mut(name).ok_or_else(|| format!("nothing is called {name}"))?;
        while live.shown.as_ref().is_none_or(|rows| rows.phase().as_str() != wanted) {
            live.next().await?;
        }
        Ok(())
    }

    async fn events(&mut self, step: &Step) -> Done {
        let name = step.text("events")?;
        let stream = self.streams.get_mut(name).ok_or_else(|| format!("nothing is called {name}"))?;
        let (mut types, mut rows) = (Vec::new(), Vec::new());
        for _ in step.list("types")? {
            let event = stream.next().await.ok_or("the stream is over".to_owned())??;
            let (kind, of_event) = described(&event);
            types.push(json!(kind));
            rows.push(of_event.iter().map(cells).collect::<Result<Vec<_>, _>>()?);
        }
        equal("types", &json!(types), &json!(step.list("types")?))?;
        equal("rows", &json!(rows), &json!(step.list("rows")?))
    }

    fn handle(&mut self, name: &str) -> Result<Handle<'_>, Failure> {
        match (self.lives.get_mut(name), self.streams.get_mut(name)) {
            (Some(live), _) => Ok(Handle::Rows(live)),
            (_, Some(stream)) => Ok(Handle::Events(stream)),
            _ => Err(format!("nothing is called {name}").into()),
        }
    }
}

enum Handle<'a> {
    Rows(&'a mut Live),
    Events(&'a mut LiveEvents),
}

impl Live {
    async fn next(&mut self) -> Done {
        let rows = self.handle.next_rows().await.ok_or("the live query is over".to_owned())??;
        let before: Vec<Row> = self.shown.iter().flat_map(Rows::iter).cloned().collect();
        replay::check(&before, &rows)?;
        self.shown = Some(rows);
        Ok(())
    }
}

fn client(target: &Target, user: &str, password: &str) -> Result<KalamClient, Failure> {
    Ok(KalamClient::builder().url(&target.url).user(user).password(password).build()?)
}

fn parameters(step: &Step) -> Result<Vec<Value>, Failure> {
    match step.get("params") {
        None => Ok(Vec::new()),
        Some(_) => step.list("params")?.iter().map(parameter).collect(),
    }
}

async fn fill(client: &KalamClient, step: &Step) -> Done {
    let (table, end) = (step.text("fill")?, step.number("to")?);
    let mut start = step.number("from")?;
    while start < end {
        let next = end.min(start + FILL);
        let values: Vec<String> = (start..next).map(|n| format!("({n}, 'v{n}')")).collect();
        client.execute(&format!("INSERT INTO {table} (id, v) VALUES {}", values.join(", ")), &[]).await?;
        start = next;
    }
    Ok(())
}

async fn query(client: &KalamClient, step: &Step) -> Done {
    let (sql, params) = (step.text("query")?, parameters(step)?);
    let result: QueryResult = match step.get("as_user").and_then(Json::as_str) {
        Some(user) => client.as_user(user).query(sql, &params).await?,
        None => client.query(sql, &params).await?,
    };
    let columns = result.schema().columns();
    if let Some(types) = step.get("types") {
        let ours: Vec<String> = columns.iter().map(|column| column.data_type.to_string()).collect();
        equal("types", &json!(ours), types)?;
    }
    if let Some(names) = step.get("columns") {
        let ours: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        equal("columns", &json!(ours), names)?;
    }
    match step.get("rows") {
        Some(rows) => {
            let ours: Vec<Vec<Json>> = result.iter().map(cells).collect::<Result<_, _>>()?;
            equal("rows", &json!(ours), rows)
        }
        None => Ok(()),
    }
}

async fn query_one(client: &KalamClient, step: &Step) -> Done {
    let row = client.query_one(step.text("query_one")?, &parameters(step)?).await?;
    let ours = row.map(|row| cells(&row)).transpose()?;
    equal("row", &json!(ours), step.get("row").unwrap_or(&Json::Null))
}

async fn query_all(client: &KalamClient, step: &Step) -> Done {
    let rows = client.query_all(step.text("query_all")?, &parameters(step)?).await?;
    let mut firsts: Vec<String> = rows.iter().map(|row| format!("{:?}", row.values().first())).collect();
    firsts.sort();
    firsts.dedup();
    let count = usize::try_from(step.number("count")?).map_err(|error| error.to_string())?;
    equal("count", &(rows.len(), firsts.len()), &(count, count))
}

async fn subscriptions(client: &KalamClient, step: &Step) -> Done {
    let expected = json!(step.list("subscriptions")?);
    loop {
        let ids: Vec<String> = client.subscriptions().await.iter().map(|info| info.id.to_string()).collect();
        if json!(ids) == expected {
            return Ok(());
        }
        // Nothing tells of a subscription that ends.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn described(event: &ChangeEvent) -> (&'static str, &[Row]) {
    match event {
        ChangeEvent::Ack { .. } => ("ack", &[]),
        ChangeEvent::InitialDataBatch { rows, .. } => ("initial_data_batch", rows),
        ChangeEvent::Insert { rows, .. } => ("insert", rows),
        ChangeEvent::Update { rows, .. } => ("update", rows),
        ChangeEvent::Delete { old_rows, .. } => ("delete", old_rows),
        ChangeEvent::Resumed { .. } => ("resumed", &[]),
        ChangeEvent::GapPossible { .. } => ("gap_possible", &[]),
        ChangeEvent::Lagged { .. } => ("lagged", &[]),
        ChangeEvent::Error { .. } => ("error", &[]),
        _ => ("unknown", &[]),
    }
}

fn state_name(state: &ConnectionState) -> &'static str {
    match state {
        ConnectionState::Idle => "idle",
        ConnectionState::Connecting { .. } => "connecting",
        ConnectionState::Connected => "connected",
        ConnectionState::Reconnecting { .. } => "reconnecting",
        ConnectionState::Closed { .. } => "closed",
        _ => "unknown",
    }
}

pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, expected: &T) -> Done {
    if ours == expected {
        return Ok(());
    }
    Err(format!("{what} is {ours:?}, not {expected:?}").into())
}
