//! Consumers of topics.

mod builder;
mod dead_letter;
mod open;
mod polling;
mod run;
mod run_options;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use self::builder::ConsumerBuilder;
pub(super) use self::open::OpenConsumers;
pub use self::polling::Polling;
pub use self::run::{ConsumerRun, RunSummary, Task};
pub use self::run_options::{OnFailed, RunOptions, Stop};
use super::KalamClient;
use crate::consumer::{Committed, ConsumerConfig, ConsumerRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::TopicStart;
use crate::runtime::consumer::{Requests, SharedConsumer, drive};
use crate::sql::literal::literal;
use crate::value::Value;

/// One member of a group of consumers that share the records of a topic. Made by [`KalamClient::consumer`].
///
/// Every record is handed out at least once: what was not marked before the consumer ended, or within the server's
/// visibility timeout, is delivered again, to this or another member. A commit says "all up to here" for the whole group,
/// so it never goes past a record that somebody still holds; what is finished beyond one is committed later.
///
/// Where the group is moved back meanwhile (`RESET CONSUMER GROUP`), or its topic is made anew, a member follows as soon as it gets
/// a record from before what it has committed. An acknowledgement that comes to the server before that, and after the move,
/// moves the group forward again, and nobody gets what lies between: it can not ask first where the group is (recorded in
/// `wire/topics.jsonl`). So stop the members before, or move the group by [`seek`](Self::seek) of its only one.
///
/// ```no_run
/// # use std::time::Duration;
/// # use kalam_live::{AutoOffsetReset, KalamClient};
/// # async fn f(client: KalamClient) -> kalam_live::Result<()> {
/// let mut consumer = client
///     .consumer()
///     .group_id("billing-workers")
///     .topic("orders.events")
///     .auto_offset_reset(AutoOffsetReset::Earliest)
///     .enable_auto_commit(false)
///     .poll_timeout(Duration::from_secs(10))
///     .build()?;
/// let records = consumer.poll().await?;
/// for record in &records {
///     println!("{} {:?} {:?}", record.op, record.key, record.row()?);
///     consumer.mark_processed(record);
/// }
/// consumer.commit_sync().await?;
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct TopicConsumer {
    client: KalamClient,
    shared: Arc<SharedConsumer>,
    requests: Arc<Requests>,
    config: ConsumerConfig,
    poll_timeout: Duration,
    /// For [`next_record`](Self::next_record): taken and not yet returned, and the one that was returned last.
    taken: Taken,
    current: Option<u64>,
}

/// Records of a loop, until the group is moved.
#[derive(Default)]
struct Taken {
    records: VecDeque<ConsumerRecord>,
    /// What [`Consumer::moves`](crate::consumer::Consumer::moves) was.
    moves: u64,
}

/// While it lives no records are asked for.
struct Moving<'a>(&'a SharedConsumer);

impl<'a> Moving<'a> {
    fn begin(shared: &'a SharedConsumer) -> Result<Self> {
        shared.command(|consumer, _| consumer.begin_move())?;
        Ok(Self(shared))
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.command(|consumer, _| consumer.end_move());
    }
}

/// Where a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOffsets {
    /// The offset of the next record that will be handed out, as far as is known.
    pub position: u64,
    /// The first offset that the group has not committed, as far as this member knows.
    pub committed: u64,
    /// Records that are finished and not committed yet.
    pub held_back: u64,
    /// Records that were handed out and are not finished.
    pub unfinished: u64,
}

impl KalamClient {
    /// Options for a consumer of a topic.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone())
    }
}

impl TopicConsumer {
    /// How long [`close`](Self::close) tries to commit.
    pub const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

    fn start(client: KalamClient, config: ConsumerConfig, poll_timeout: Duration) -> Result<Self> {
        let runtime = match &client.inner.runtime {
            Some(runtime) => runtime.clone(),
            None => Handle::try_current().map_err(|_| {
                Error::new(ErrorCode::Config, "the consumer is made outside of a tokio runtime")
            })?,
        };
        let shared = SharedConsumer::new(config.clone());
        client.inner.consumers.add(&shared);
        // After that: a client that is closed at this moment closes this one too.
        client.check_open()?;
        let requests = Arc::new(Requests::new(client.inner.asker.clone(), &config));
        runtime.spawn(drive(shared.clone(), requests.clone()));
        let (taken, current) = (Taken::default(), None);
        Ok(Self { client, shared, requests, config, poll_timeout, taken, current })
    }

    /// The name of the topic.
    pub fn topic(&self) -> &str {
        &self.config.topic
    }

    /// The name of the group.
    pub fn group_id(&self) -> &str {
        &self.config.group
    }

    /// The partition.
    pub fn partition_id(&self) -> u32 {
        self.config.partition
    }

    /// The next records, at most `max_poll_records`; none when there were none within `poll_timeout`. A poll may be
    /// cancelled at any time: the records that it waited for are there for the next one.
    ///
    /// On network trouble, and when the server is busy, it is tried again as long as the poll lasts.
    ///
    /// # Errors
    /// `not_found`, `permission_denied`, `auth_failed`: at once. `disconnected`, `unavailable`, ...: when nothing else came
    /// before its time was over. `invalid_argument` while another poll waits or a worker loop runs. `closed`.
    pub async fn poll(&self) -> Result<Vec<ConsumerRecord>> {
        self.poll_with_timeout(self.poll_timeout).await
    }

    /// As [`poll`](Self::poll), waiting at most `timeout`.
    ///
    /// # Errors
    /// As there.
    pub async fn poll_with_timeout(&self, timeout: Duration) -> Result<Vec<ConsumerRecord>> {
        let polling = self.polling(Some(timeout))?;
        poll_fn(|cx| polling.poll_ready(cx)).await;
        polling.take(self.config.max_poll_records)
    }

    /// Begins a poll, to be waited for and taken from separately: waiting carries no data, so that a wait that is given up
    /// loses nothing. Without a `timeout` it is the consumer's.
    ///
    /// # Errors
    /// `invalid_argument` while another poll waits or a worker loop runs; `closed`.
    pub fn polling(&self, timeout: Option<Duration>) -> Result<Polling> {
        self.shared.check_free()?;
        Polling::begin(&self.shared, timeout.unwrap_or(self.poll_timeout))
    }

    /// The next record, however long it takes; `None` when the consumer or its client was closed. Asking for one says that the one before
    /// is finished.
    ///
    /// # Errors
    /// As [`poll`](Self::poll), but trouble that may pass is waited out.
    pub async fn next_record(&mut self) -> Result<Option<ConsumerRecord>> {
        self.forget_before_move();
        if let Some(offset) = self.current.take() {
            self.mark_offset(offset);
        }
        if self.is_closed() {
            // What was taken is not begun any more: its commit would come too late.
            return Ok(None);
        }
        while self.taken.records.is_empty() {
            match self.poll().await {
                Ok(records) => self.taken.records.extend(records),
                Err(error) if error.code() == ErrorCode::Closed => return Ok(None),
                Err(error) if error.retryable() => tracing::warn!(%error, "no records, still trying"),
                Err(error) => return Err(error),
            }
        }
        let record = self.taken.records.pop_front();
        self.current = record.as_ref().map(|record| record.offset);
        Ok(record)
    }

    /// What was taken before the group was moved is neither finished nor handed out after it.
    fn forget_before_move(&mut self) {
        let moves = self.shared.with(|consumer, _| consumer.moves());
        if moves != self.taken.moves {
            self.taken = Taken { moves, ..Taken::default() };
            self.current = None;
        }
    }

    /// The record is finished. It is committed with the next commit, once everything before it is finished too.
    pub fn mark_processed(&self, record: &ConsumerRecord) {
        self.mark_offset(record.offset);
    }

    /// As [`mark_processed`](Self::mark_processed), by its offset.
    pub fn mark_offset(&self, offset: u64) {
        self.shared.mark(offset);
    }

    /// Commits what is finished, as far as nothing before it is unfinished, and waits for the server. What has to be held
    /// back is committed later by itself, when the gap before it is closed.
    ///
    /// # Errors
    /// The server's, or why it could not be reached, after several attempts. What was marked stays marked.
    pub async fn commit_sync(&self) -> Result<Committed> {
        let answered = self.shared.commit();
        answered.await.unwrap_or_else(|_| Err(Error::new(ErrorCode::Closed, "the consumer is closed")))
    }

    /// As [`commit_sync`](Self::commit_sync), without waiting: a failure is logged, and tried again with the next commit.
    pub fn commit_async(&self) {
        drop(self.shared.commit());
    }

    /// The offset of the next record that will be handed out, as far as is known.
    pub fn position(&self) -> u64 {
        self.shared.with(|consumer, _| match self.taken.records.front() {
            Some(record) if self.taken.moves == consumer.moves() => record.offset,
            _ => consumer.position(),
        })
    }

    /// Where the consumer and its group are.
    pub fn offsets(&self) -> ConsumerOffsets {
        let position = self.position();
        self.shared.with(|consumer, _| {
            let Committed { next_offset, held_back } = consumer.committed();
            ConsumerOffsets { position, committed: next_offset, held_back, unfinished: consumer.unfinished() }
        })
    }

    /// Moves the **group** to `offset`, also back, and goes on there (`RESET CONSUMER GROUP`): the server knows one offset
    /// for all members. Stop the others before. An offset beyond the end is the end.
    ///
    /// # Errors
    /// As a query's; `invalid_argument` while a poll waits or a worker loop runs.
    pub async fn seek(&self, offset: u64) -> Result<()> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        if !self.config.topic.chars().all(plain) {
            let message = format!("{:?} is not a name that a group can be moved in", self.config.topic);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        self.shared.check_free()?;
        // Nothing may be on its way that the server would take for news of after the move.
        let _moving = Moving::begin(&self.shared)?;
        self.commit_sync().await?;
        while !self.shared.with(|consumer, _| consumer.hold_still()) {
            self.commit_sync().await?;
        }
        let sql = format!(
            "RESET CONSUMER GROUP {} ON {} PARTITION {} TO {offset}",
            literal(&Value::from(&*self.config.group))?,
            self.config.topic,
            self.config.partition
        );
        self.client.execute(&sql, &[]).await?;
        // Beyond the end is at the end, and what is no longer kept is passed.
        let looked = self.requests.look(TopicStart::Offset(offset)).await;
        let at = looked.as_ref().map_or(offset, |consumed| consumed.next_offset);
        self.shared.command(|consumer, now| consumer.seek(now, at));
        looked.map(drop)
    }

    /// Commits what may be committed and ends, within five seconds. Who waits for records gets the error `closed`, and so does
    /// a worker loop once what it handles is finished. [`KalamClient::close`] does the same. Closing twice is closing once.
    ///
    /// # Errors
    /// None now; a later version may tell that the last commit failed.
    pub async fn close(&mut self) -> Result<()> {
        self.finish(Self::CLOSE_PATIENCE).await;
        Ok(())
    }

    /// As [`close`](Self::close), committing at most for `patience`. It is closed at once; what may be awaited is the end.
    pub fn finish(&self, patience: Duration) -> impl Future<Output = ()> + Send + use<> {
        let ended = self.shared.close(patience);
        async move {
            // The task may have been stopped with its runtime.
            let _ = ended.await;
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.with(|consumer, _| consumer.is_closed())
    }

    /// Handles records with `handler` until [`Stop::stop`] is called: those of one key one after the other, those of
    /// different keys at the same time, failures again after a pause. Commits what is finished.
    ///
    /// ```no_run
    /// # use kalam_live::{RunOptions, TopicConsumer};
    /// # async fn f(consumer: TopicConsumer) -> kalam_live::Result<()> {
    /// let options = RunOptions::default().with_concurrency(8).with_dead_letter_topic("orders.dead");
    /// let stop = options.stop();
    /// tokio::spawn(async move {
    ///     // On Ctrl-C, say.
    ///     stop.stop();
    /// });
    /// let summary = consumer
    ///     .run(
    ///         async |record| {
    ///             let order = record.row()?;
    ///             println!("{order:?}");
    ///             Ok::<_, kalam_live::Error>(())
    ///         },
    ///         options,
    ///     )
    ///     .await?;
    /// println!("{} handled, {} failed", summary.handled, summary.failed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What no repetition can help against, such as `not_found` and `permission_denied`. What was finished before is
    /// committed. `invalid_argument` while another loop runs.
    pub async fn run<F, Fut, E>(&self, handler: F, options: RunOptions) -> Result<RunSummary>
    where
        F: Fn(Arc<ConsumerRecord>) -> Fut,
        Fut: Future<Output = std::result::Result<(), E>>,
        E: fmt::Display,
    {
        run::run(self, handler, options).await
    }
}

impl Drop for TopicConsumer {
    /// Its task commits what may be committed, if it still can.
    fn drop(&mut self) {
        drop(self.shared.close(Self::CLOSE_PATIENCE));
    }
}

impl fmt::Debug for TopicConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicConsumer")
            .field("topic", &self.config.topic)
            .field("group_id", &self.config.group)
            .field("partition_id", &self.config.partition)
            .finish_non_exhaustive()
    }
}
