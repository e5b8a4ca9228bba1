//! Drives one [`Consumer`]: a task of its own carries its requests, so that neither a slow reader nor one that stops
//! waiting can lose a record or hold up a commit.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::asker::Asker;
use super::http::{Reply, SendError};
use crate::consumer::{Action, Committed, Consumer, ConsumerConfig};
use crate::error::{Error, ErrorCode, Result};
use crate::machine::Time;
use crate::protocol::{
    ConsumeRequest, Consumed, TopicStart, decode_ack, decode_consumed, encode_ack, encode_consume,
    fits_table, table_of,
};
use crate::schema::Schema;
use crate::sql::{Select, TableName};

/// How long the columns of a table are taken for known.
const TABLE_KNOWN_FOR: Duration = Duration::from_secs(60);

/// What a consumer's handle and its task share.
pub(crate) struct SharedConsumer {
    state: Mutex<State>,
    driver: Notify,
    origin: Instant,
    /// A worker loop has it.
    working: AtomicBool,
}

struct State {
    consumer: Consumer,
    /// Who waits for records.
    reader: Option<Waker>,
    /// Who waits for a commit, or for all that were asked for before.
    commits: Vec<(u64, oneshot::Sender<Result<Committed>>)>,
    /// Who waits for the end.
    ends: Vec<oneshot::Sender<()>>,
}

impl SharedConsumer {
    /// A consumer whose task is not started yet: that is [`drive`].
    pub(crate) fn new(config: ConsumerConfig) -> Arc<Self> {
        let state =
            State { consumer: Consumer::new(config), reader: None, commits: Vec::new(), ends: Vec::new() };
        Arc::new(Self {
            state: Mutex::new(state),
            driver: Notify::new(),
            origin: Instant::now(),
            working: AtomicBool::new(false),
        })
    }

    /// For a worker loop alone, until [`end_work`](Self::end_work).
    ///
    /// # Errors
    /// As [`check_free`](Self::check_free).
    pub(crate) fn begin_work(&self) -> Result<()> {
        if self.working.swap(true, Ordering::AcqRel) { Err(taken()) } else { Ok(()) }
    }

    pub(crate) fn end_work(&self) {
        self.working.store(false, Ordering::Release);
    }

    /// # Errors
    /// `invalid_argument` while a worker loop has it.
    pub(crate) fn check_free(&self) -> Result<()> {
        if self.working.load(Ordering::Acquire) { Err(taken()) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// Looks, or changes what its task need not know at once.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Consumer, Time) -> R) -> R {
        let now = self.now();
        f(&mut self.lock().consumer, now)
    }

    /// Changes what its task acts on.
    pub(crate) fn command<R>(&self, f: impl FnOnce(&mut Consumer, Time) -> R) -> R {
        let result = self.with(f);
        self.driver.notify_one();
        result
    }

    /// A record is finished.
    pub(crate) fn mark(&self, offset: u64) {
        // No clock: this is called for every record.
        let is_first = self.lock().consumer.mark(offset);
        if is_first {
            self.driver.notify_one();
        }
    }

    /// Ready when a poll has something to tell. Otherwise the task of the latest call is woken once it has.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.now();
        let mut state = self.lock();
        if state.consumer.is_ready(now) {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the poll without records, and wakes who waits for it.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.consumer.give_up();
        wake_reader(state);
    }

    /// Commits what is finished now.
    pub(crate) fn commit(&self) -> oneshot::Receiver<Result<Committed>> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if state.consumer.is_closed() {
            // Closing commits by itself.
            let _ = answer.send(Ok(state.consumer.committed()));
        } else {
            let number = state.consumer.commit();
            state.commits.push((number, answer));
        }
        drop(state);
        self.driver.notify_one();
        answered
    }

    /// Commits what may be committed, at most for `patience`, and ends. The answer comes when it has ended.
    pub(crate) fn close(&self, patience: Duration) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        let deadline = self.now() + patience;
        let mut state = self.lock();
        if self.working.load(Ordering::Acquire) {
            // A worker loop commits what it has finished, also without auto-commit.
            state.consumer.commit();
        }
        state.consumer.close(deadline);
        if state.consumer.is_over() {
            let _ = end.send(());
        } else {
            state.ends.push(end);
        }
        wake_reader(state);
        self.driver.notify_one();
        ended
    }

    /// What to do now, and when to come back; `None` when it is over.
    fn step(&self) -> Option<(Vec<Action>, Option<Instant>)> {
        let now = self.now();
        let mut state = self.lock();
        let actions: Vec<Action> = std::iter::from_fn(|| state.consumer.poll_action(now)).collect();
        let mut answers = Vec::new();
        while let Some((upto, result)) = state.consumer.poll_committed() {
            let (answered, waiting) =
                std::mem::take(&mut state.commits).into_iter().partition(|(number, _)| *number <= upto);
            state.commits = waiting;
            answers.push((answered, result));
        }
        let over = state.consumer.is_over();
        let reader = if over || state.consumer.is_ready(now) { state.reader.take() } else { None };
        let ends = if over { std::mem::take(&mut state.ends) } else { Vec::new() };
        let timeout = state.consumer.next_timeout(now).map(|at| self.origin + at);
        drop(state);
        for (answered, result) in answers {
            let answered: Vec<(u64, oneshot::Sender<_>)> = answered;
            if let (Err(error), true) = (&result, answered.is_empty()) {
                tracing::warn!(%error, "a commit failed and is tried again later");
            }
            for (_, answer) in answered {
                // Who asked may have stopped waiting.
                let _ = answer.send(result.clone());
            }
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        for end in ends {
            let _ = end.send(());
        }
        (!over).then_some((actions, timeout))
    }
}

fn taken() -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        "a worker loop runs on this consumer: stop it before, or make a consumer for each",
    )
}

fn wake_reader(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    // Who is woken looks at the state.
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The requests of one consumer.
pub(crate) struct Requests {
    asker: Asker,
    topic: Arc<str>,
    group: Arc<str>,
    partition: u32,
    tables: Mutex<Tables>,
}

/// What is known of tables, by `namespace:table`.
type Tables = HashMap<Box<str>, Known>;

#[derive(Clone)]
struct Known {
    since: Instant,
    /// `None` when the client may not know them.
    schema: Option<Arc<Schema>>,
    /// Whether the record that it was asked for has these columns.
    fits: bool,
}

impl Requests {
    pub(crate) fn new(asker: Asker, config: &ConsumerConfig) -> Self {
        Self {
            asker,
            topic: config.topic.clone(),
            group: config.group.clone(),
            partition: config.partition,
            tables: Mutex::default(),
        }
    }

    async fn ask(&self, start: TopicStart, limit: u32, wait: Duration) -> Result<Reply> {
        // Whole seconds: a poll that waits for half of one has its answer when the next one asks.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let body = encode_consume(&ConsumeRequest {
            topic_id: &self.topic,
            group_id: &self.group,
            start,
            limit,
            partition_id: self.partition,
            timeout_seconds: (seconds > 0).then_some(seconds),
        });
        let within = self.asker.patience() + Duration::from_secs(seconds);
        let reply = self.asker.post_within("v1/api/topics/consume", &body, within).await;
        reply.map_err(SendError::into_error)
    }

    /// Where the group is, or begins.
    pub(crate) async fn look(&self, start: TopicStart) -> Result<Consumed> {
        let reply = self.ask(start, 0, Duration::ZERO).await?;
        self.decode(&reply)
    }

    fn decode(&self, reply: &Reply) -> Result<Consumed> {
        decode_consumed(reply.status, &reply.body, &self.topic, self.partition)
    }

    /// The records of an answer, with the columns of their tables.
    async fn read(&self, reply: Reply) -> Result<Consumed> {
        let mut consumed = self.decode(&reply)?;
        // Records that come together are mostly of one table. The newest come first: they have its newest columns.
        let mut last: Option<(Box<str>, Option<Arc<Schema>>)> = None;
        for record in consumed.records.iter_mut().rev() {
            let Some(name) = table_of(&record.payload) else { continue };
            if last.as_ref().is_none_or(|(last, _)| **last != *name) {
                last = Some((name.into(), self.table(name, &record.payload).await));
            }
            record.table = last.as_ref().and_then(|(_, schema)| schema.clone());
        }
        Ok(consumed)
    }

    async fn ack(&self, upto: u64) -> Result<()> {
        let body = encode_ack(&self.topic, &self.group, self.partition, upto);
        // It may be sent twice.
        let reply = self.asker.post("v1/api/topics/ack", &body).await.map_err(SendError::into_error)?;
        decode_ack(reply.status, &reply.body)
    }

    /// The columns of a table, `namespace:table`, of which this record is; `None` when the client may not know them.
    async fn table(&self, table: &str, payload: &[u8]) -> Option<Arc<Schema>> {
        let (namespace, name) = table.split_once(':')?;
        let fits = |schema: &Option<Arc<Schema>>| schema.as_ref().is_none_or(|own| fits_table(payload, own));
        let known = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        if let Some(known) = known
            && known.since.elapsed() < TABLE_KNOWN_FOR
            // The table may have been altered. What did not fit when it was asked for is not asked for each time.
            && (!known.fits || fits(&known.schema))
        {
            return known.schema;
        }
        let schema = self.ask_table(namespace, name).await;
        let known = Known { since: Instant::now(), fits: fits(&schema), schema: schema.clone() };
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table.into(), known);
        schema
    }

    async fn ask_table(&self, namespace: &str, name: &str) -> Option<Arc<Schema>> {
        let table = TableName { namespace: namespace.to_owned(), name: name.to_owned() };
        let sql = format!("{} LIMIT 1", Select::expressions("*", &table).ok()?.into_sql());
        let (_, results) = self.asker.read(&sql).await;
        let results = results
            .inspect_err(|error| {
                tracing::debug!(%error, namespace, name, "records of this table come without rows");
            })
            .ok()?;
        let columns = results.first()?.schema.columns();
        let own = columns.iter().filter(|column| !matches!(&*column.name, "_seq" | "_deleted" | "_version"));
        Some(Schema::new(own.cloned().collect()))
    }
}

/// Work in a task of its own, so that reading a large answer holds up no commit. Dropping this gives it up.
struct Apart<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Apart<T> {
    fn start(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl<T> Future for Apart<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended =
            |_| Err(Error::new(ErrorCode::Closed, "the answer was not read before the runtime ended"));
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(ended))
    }
}

impl<T> Drop for Apart<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type InFlight<'a, T> = Option<Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>>;

/// Runs until the consumer is closed and has committed what it may.
pub(crate) async fn drive(shared: Arc<SharedConsumer>, requests: Arc<Requests>) {
    let (mut fetch, mut reading): (InFlight<'_, Reply>, InFlight<'_, Consumed>) = (None, None);
    let (mut look, mut ack): (InFlight<'_, Consumed>, InFlight<'_, ()>) = (None, None);
    while let Some((actions, timeout)) = shared.step() {
        let (fetch_wanted, reading_wanted) = shared.with(|consumer, _| consumer.is_fetching());
        fetch = fetch.filter(|_| fetch_wanted);
        reading = reading.filter(|_| reading_wanted);
        for action in actions {
            match action {
                Action::Fetch { start, limit, wait } => {
                    fetch = Some(Box::pin(requests.ask(start, limit, wait)))
                }
                Action::Look { start } => look = Some(Box::pin(requests.look(start))),
                Action::Ack { upto } => ack = Some(Box::pin(requests.ack(upto))),
            }
        }
        let sleep = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut sleep = pin!(sleep);
        tokio::select! {
            biased;
            answer = done(&mut ack) => shared.with(|consumer, now| consumer.handle_acked(now, answer)),
            answer = done(&mut look) => {
                if shared.with(|consumer, now| consumer.handle_looked(now, answer)) {
                    let (topic, group) = (&*requests.topic, &*requests.group);
                    tracing::warn!(topic, group, "the group was moved back: records are handled again from there");
                }
            }
            answer = done(&mut reading) => shared.with(|consumer, now| consumer.handle_fetched(now, answer)),
            // The next answer waits until this one is read.
            answer = done(&mut fetch), if reading.is_none() => match answer {
                Ok(reply) => {
                    shared.with(|consumer, _| consumer.handle_arrived());
                    let requests = requests.clone();
                    reading = Some(Box::pin(Apart::start(async move { requests.read(reply).await })));
                }
                Err(error) => shared.with(|consumer, now| consumer.handle_fetched(now, Err(error))),
            },
            () = shared.driver.notified() => {}
            () = &mut sleep => {}
        }
    }
}

/// The answer to a request that is on its way; never, when there is none.
async fn done<T>(request: &mut InFlight<'_, T>) -> Result<T> {
    let answer = match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    };
    *request = None;
    answer
}
