//! Opening live queries.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compact_str::{CompactString, format_compact};

use super::handle::Handle;
use super::live_events::LiveEvents;
use super::live_rows::LiveRows;
use super::subscription::{LiveEventsConfig, LiveRowsConfig, SubscriptionConfig, SubscriptionOptions};
use super::{Command, KalamClient};
use crate::converge::{Keeper, KeeperOptions};
use crate::error::{Error, ErrorCode, Result};
use crate::live::{LiveOptions, LiveView, OrderBy};
use crate::machine::{Decoding, OldValues, Resume, SubscribeOptions, SubscribeRequest, SubscriptionKey};
use crate::runtime::command::Unclaimed;
use crate::runtime::event_queue::{EventQueue, QueueLimits};
use crate::runtime::live_state::LiveState;
use crate::runtime::mailbox::Mailbox;
use crate::runtime::subscriber::{EventSink, Sink};
use crate::sql::{Condition, LiveSql, Projection, check_live};

impl KalamClient {
    /// The rows of `SELECT columns FROM namespace.table [WHERE ...]`, now and whenever they change.
    ///
    /// Returns before the server has answered; what it says comes with the first [`next`](LiveRows::next). While there is
    /// no connection the query waits for one.
    ///
    /// # Errors
    /// `invalid_sql` for any other shape, with what to write instead; `closed`. When the primary key is not selected its
    /// columns have to be looked up, which can fail as a [`query`](Self::query).
    pub async fn live(&self, sql: &str) -> Result<LiveRows> {
        self.live_with_config(SubscriptionConfig::unnamed(sql), LiveRowsConfig::default()).await
    }

    /// All rows of a table: `namespace.table`, or `table` with the option `namespace`.
    ///
    /// # Errors
    /// As [`live`](Self::live).
    pub async fn live_table(&self, table: &str) -> Result<LiveRows> {
        self.live_with_config(SubscriptionConfig::table(table)?, LiveRowsConfig::default()).await
    }

    /// [`live`](Self::live) with parameters and options.
    ///
    /// # Errors
    /// As there; `invalid_argument` for options that can not be.
    pub async fn live_with_config(
        &self,
        config: SubscriptionConfig,
        rows: LiveRowsConfig,
    ) -> Result<LiveRows> {
        let mut sql = check_live(&config.sql, &config.params, self.inner.namespace.as_deref())?;
        let options = config.options.unwrap_or_default();
        options.check()?;
        if !options.snapshot {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "live rows begin with the rows that there are: use live_events for changes only",
            ));
        }
        let order_by = rows.order_by.as_deref().map(str::parse::<OrderBy>).transpose()?;
        if let Projection::Columns(_) = sql.projection {
            if let Some(order_by) = &order_by {
                self.check_order_by(order_by, &sql).await?;
            }
            match &rows.key_columns {
                Some(columns) => sql.with_hidden(columns),
                None => sql.with_hidden(self.key_columns(&sql.table).await?.iter()),
            }
            sql.with_hidden(order_by.iter().flat_map(OrderBy::columns));
        }
        if let Some(filter) = &sql.filter
            && let Some(condition) = Condition::read(filter)
        {
            sql.with_hidden(condition.null_sensitive());
            sql.rewrite_filter()?;
        }
        let view = LiveView::new(LiveOptions {
            key_columns: rows.key_columns.unwrap_or_default(),
            order_by,
            limit: rows.limit,
            newest: options.last_rows.is_some(),
            partial: rows.partial,
        })?;
        let keeper = Keeper::new(
            sql.clone(),
            KeeperOptions {
                verify: rows.verify,
                last_rows: options.last_rows,
                seed: RandomState::new().hash_one(self.inner.next_id.load(Ordering::Relaxed)),
                ..KeeperOptions::default()
            },
            view,
        );
        let mailbox = Arc::new(Mailbox::new(LiveState::new(keeper)));
        let id = self.subscription_id(config.id);
        let sink = Sink::Rows(mailbox.clone());
        let reading = (OldValues::Skip, Decoding::ByConnection);
        let key = self.subscribe(&id, sql, options, reading, Resume::Live, sink).await?;
        Ok(LiveRows(Handle::new(id, key, mailbox, self.inner.commands.clone())))
    }

    /// Everything that the server tells about `SELECT columns FROM namespace.table [WHERE ...]`, in order.
    ///
    /// # Errors
    /// As [`live`](Self::live).
    pub async fn live_events(&self, sql: &str) -> Result<LiveEvents> {
        self.live_events_with_config(SubscriptionConfig::unnamed(sql)).await
    }

    /// [`live_events`](Self::live_events) with parameters and options.
    ///
    /// # Errors
    /// As there; `invalid_argument` for options that can not be.
    pub async fn live_events_with_config(&self, config: SubscriptionConfig) -> Result<LiveEvents> {
        self.live_events_with_bounds(config, LiveEventsConfig::default()).await
    }

    /// [`live_events_with_config`](Self::live_events_with_config) with other bounds for a reader that is behind.
    ///
    /// # Errors
    /// As there.
    pub async fn live_events_with_bounds(
        &self,
        config: SubscriptionConfig,
        bounds: LiveEventsConfig,
    ) -> Result<LiveEvents> {
        let sql = check_live(&config.sql, &config.params, self.inner.namespace.as_deref())?;
        let options = config.options.unwrap_or_default();
        options.check()?;
        let id = self.subscription_id(config.id);
        let limits = QueueLimits { events: bounds.max_events.max(1), bytes: bounds.max_bytes.max(1) };
        let from = options.from.clone();
        let mailbox = Arc::new(Mailbox::new(EventQueue::new(limits)));
        let sink = Sink::Events(EventSink::new(id.clone(), sql.clone(), mailbox.clone()));
        let reading = (OldValues::Keep, bounds.decoding);
        let key = self.subscribe(&id, sql, options, reading, Resume::Cursor, sink).await?;
        Ok(LiveEvents::new(Handle::new(id, key, mailbox, self.inner.commands.clone()), from))
    }

    fn subscription_id(&self, given: Option<String>) -> CompactString {
        match given {
            Some(id) => id.into(),
            None => format_compact!("live-{}", self.inner.next_id.fetch_add(1, Ordering::Relaxed)),
        }
    }

    async fn subscribe(
        &self,
        id: &CompactString,
        sql: LiveSql,
        options: SubscriptionOptions,
        (old, decoding): (OldValues, Decoding),
        resume: Resume,
        sink: Sink,
    ) -> Result<SubscriptionKey> {
        let SubscriptionOptions { snapshot, last_rows, batch_size, from } = options;
        let options = SubscribeOptions { snapshot, last_rows, batch_size, from };
        let request =
            Box::new(SubscribeRequest { id: Some(id.clone()), sql, options, old, resume, decoding });
        let commands = self.inner.commands.clone();
        let subscribed =
            self.owner()?.ask(|reply| Command::Subscribe { request, sink, commands, reply }).await?;
        subscribed.map(Unclaimed::claim)
    }
}
