//! The subscriptions of one WebSocket: how they start, load and end (`wire/live_basic.jsonl`,
//! `wire/live_errors.jsonl`, `wire/resume.jsonl`).

use std::collections::HashMap;
use std::sync::Arc;

use super::app::{App, NotDone};
use super::client_frame::{Cursor, SubscribeOptions, SubscribeRequest};
use super::connections::{Listed, Membership};
use super::hub::{Interest, Place};
use super::identity::Identity;
use super::metrics::Limit;
use super::outbox::Outbox;
use super::pager::Pager;
use super::server_frame;
use super::snapshot::{Batch, Snapshot};
use super::subscription::Subscription;
use super::version_domain::VersionDomain;
use crate::engine::{Column, LiveStart, Page, SCHEMA_CHANGED, SqlError, Start};
use crate::holes::Holes;
use crate::options::Limits;
use crate::wire::Wire;

/// Rows of a batch, if the client does not say (recorded).
const DEFAULT_BATCH_ROWS: u32 = 1000;

/// Longer ids would only make every frame longer.
const MOST_ID_BYTES: usize = 256;

/// How often a subscription is begun whose table is altered meanwhile, each time.
const ATTEMPTS: usize = 4;

/// Our own code and words: what KalamDB 0.8 answers is not recorded.
const OTHER_DOMAIN: &str = "the cursor came without its version_domain, or with that of another history: subscribe again \
                            with a snapshot";

pub(crate) struct Subscriptions {
    app: Arc<App>,
    outbox: Arc<Outbox>,
    membership: Arc<Membership>,
    identity: Identity,
    /// What the client speaks, as far as its connection tells.
    wire: Wire,
    by_id: HashMap<String, Entry>,
}

/// One subscription, from the side of its connection. Leaves the hub when dropped.
struct Entry {
    app: Arc<App>,
    subscription: Arc<Subscription>,
    place: Place,
    _listed: Listed,
    /// There for a client that speaks 0.8.
    domain: Option<VersionDomain>,
    /// What the client has not fetched yet.
    rest: Option<Rest>,
}

enum Rest {
    Kept(Snapshot),
    Paged(Pager),
}

/// How a subscription starts.
#[derive(Clone, Copy)]
enum Begin {
    /// With all of its rows, from one moment.
    Kept(Start),
    /// Page by page: see [`Holes`].
    Paged(Page),
}

/// What a client is told when a subscription does not start.
struct Refusal {
    code: &'static str,
    message: String,
}

/// A subscription that has started: registered with the hub, which holds its changes back.
struct Started {
    entry: Entry,
    schema: Arc<[Column]>,
    start: LiveStart,
    /// Reads the snapshot, if it is not in `start`.
    pager: Option<Pager>,
}

impl Subscriptions {
    pub(crate) fn new(
        app: Arc<App>,
        outbox: Arc<Outbox>,
        membership: Arc<Membership>,
        identity: Identity,
        wire: Wire,
    ) -> Self {
        Self { app, outbox, membership, identity, wire, by_id: HashMap::new() }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Starts one and sends its acknowledgement and first batch, or an error. One with the same id ends first.
    pub(crate) async fn subscribe(&mut self, request: SubscribeRequest) {
        if let Err(refusal) = check_id(&request.id) {
            return self.refuse("invalid_subscription", &refusal);
        }
        self.by_id.remove(&request.id);
        let SubscribeRequest { id, sql, options } = request;
        let wire = match &options {
            Some(SubscribeOptions { version_domain: Some(_), .. }) => Wire::V0_8,
            _ => self.wire,
        };
        let from = options.as_ref().and_then(|options| options.from);
        let from = match from.map(|from| from.of(wire)).transpose() {
            Ok(from) => from,
            Err(error) => return self.outbox.close_invalid(error),
        };
        match self.start(&id, sql, options.as_ref(), from, wire).await {
            Ok(started) => self.load(id, started, options.as_ref(), from).await,
            Err(refusal) => self.refuse(&id, &refusal),
        }
    }

    /// Sends the next batch of a snapshot.
    pub(crate) async fn next_batch(&mut self, id: &str, last_seq_id: Option<Cursor>) {
        let Some(entry) = self.by_id.get_mut(id).filter(|entry| !entry.subscription.has_ended()) else {
            let message = format!("Not found: Subscription not found: {id}");
            return self.refuse(id, &Refusal { code: "BATCH_FETCH_FAILED", message });
        };
        let wire = if entry.domain.is_some() { Wire::V0_8 } else { Wire::V0_4 };
        let last_seq_id = match last_seq_id.map(|last| last.of(wire)).transpose() {
            Ok(last) => last,
            Err(error) => return self.outbox.close_invalid(error),
        };
        let fetched = match &mut entry.rest {
            Some(Rest::Kept(snapshot)) => Ok(snapshot.next()),
            Some(Rest::Paged(pager)) => {
                pager.next(&self.app, last_seq_id).await.map_err(|error| error.message)
            }
            None => Err(format!("The snapshot of subscription {id} is complete: there is no next batch")),
        };
        let Batch { rows, control } = match fetched {
            Ok(batch) => batch,
            Err(message) => return self.refuse(id, &Refusal { code: "BATCH_FETCH_FAILED", message }),
        };
        self.outbox.offer_text(server_frame::initial_data_batch(id, &rows, control, entry.domain.as_ref()));
        if !control.has_more {
            entry.rest = None;
            entry.subscription.go_live();
        }
    }

    /// Not answered, whether there was one or not (recorded).
    pub(crate) fn unsubscribe(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Takes a place, reads what the subscription starts with and registers it, both at one point of the
    /// commit order.
    async fn start(
        &mut self,
        id: &str,
        sql: String,
        options: Option<&SubscribeOptions>,
        from: Option<i64>,
        wire: Wire,
    ) -> Result<Started, Refusal> {
        let limits = &self.app.options.limits;
        let begin = begin_of(options, from, limits, self.app.holes)?;
        self.by_id.retain(|_, entry| !entry.subscription.has_ended());
        let slot = match self.by_id.len() < limits.subscriptions_per_connection {
            true => self.app.connections.slot(&self.identity.user, sql.len()),
            false => None,
        };
        let slot = slot.ok_or_else(|| {
            self.app.metrics.rejected(Limit::Subscriptions);
            let message = "Maximum subscriptions reached".to_owned();
            Refusal { code: "SUBSCRIPTION_LIMIT_EXCEEDED", message }
        })?;
        let subscription =
            Arc::new(Subscription::new(id.to_owned(), self.outbox.clone(), slot, self.app.holes));
        let (app, caller) = (self.app.clone(), self.identity.caller());
        let (membership, options) = (self.membership.clone(), options.cloned());
        let attempt = move || {
            let query = app.engine.prepare_live_on(&caller, &sql, wire)?;
            let domain = (wire == Wire::V0_8).then(|| VersionDomain::of(&app.engine, &query));
            if let (Some(domain), Some(_)) = (&domain, from) {
                let sent = options.as_ref().and_then(|options| options.version_domain.as_ref());
                if !domain.accepts(sent, &query) {
                    return Err(SqlError::new("VERSION_DOMAIN_MISMATCH", 409, OTHER_DOMAIN));
                }
            }
            let interest = Interest::new(query.clone(), &sql, &caller, wire, app.holes);
            let place = interest.place(app.holes);
            let listed = membership.list(subscription.clone(), query.clone(), &sql, options.as_ref());
            let (start, pager) = match begin {
                Begin::Kept(start) => (start, None),
                // Registered first, so that nothing lies between: a change may come twice, but none is missed.
                Begin::Paged(page) => (Start::Nothing, Some(Pager::new(query.clone(), page))),
            };
            let register = || {
                app.hub.subscribe(interest, subscription.clone());
                // From here on there is something to undo.
                Entry {
                    app: app.clone(),
                    subscription: subscription.clone(),
                    place,
                    _listed: listed,
                    domain,
                    rest: None,
                }
            };
            let (start, entry) = app.engine.start_live(&query, start, register)?;
            Ok::<_, SqlError>(Started { entry, schema: query.schema().clone(), start, pager })
        };
        // The table may be altered between the two halves of an attempt.
        let work = move || {
            for _ in 1..ATTEMPTS {
                match attempt() {
                    Err(error) if error.code == SCHEMA_CHANGED => {}
                    result => return result,
                }
            }
            attempt()
        };
        match self.app.statements.run_in_turn_for(&self.identity.user, work).await {
            Ok(started) => Ok(started?),
            Err(NotDone::Busy | NotDone::Broken) => Err(Refusal {
                code: "SUBSCRIPTION_FAILED",
                message: "The server failed, its log says more".to_owned(),
            }),
        }
    }

    /// Sends what the subscription starts with, as far as the client need not ask for it.
    async fn load(
        &mut self,
        id: String,
        started: Started,
        options: Option<&SubscribeOptions>,
        from: Option<i64>,
    ) {
        let Started { mut entry, schema, start: LiveStart { rows, replay, last_seq }, pager } = started;
        let limits = &self.app.options.limits;
        let left = |entry: &Entry| match &entry.rest {
            Some(Rest::Kept(snapshot)) => snapshot.left(),
            Some(Rest::Paged(_)) | None => 0,
        };
        let unfetched = self.by_id.values().map(left).sum::<usize>();
        let batch_rows = batch_rows(options, limits) as usize;
        if rows.len() > batch_rows && unfetched.saturating_add(rows.len()) > limits.unfetched_rows {
            let message = format!(
                "The snapshot has {} rows, and this connection may leave {} unfetched in all: fetch what is \
                 open, narrow the filter or use last_rows",
                rows.len(),
                limits.unfetched_rows
            );
            return self.refuse(&id, &Refusal { code: "SUBSCRIPTION_FAILED", message });
        }
        // Before a replay the client has nothing new: were it told the newest cursor now and cut off on the
        // way, it would resume behind changes that it never got.
        let last_seq = match from {
            Some(from) if !replay.is_empty() => Some(from),
            _ => last_seq,
        };
        let (first, rest) = match pager {
            Some(mut pager) => (pager.next(&self.app, None).await, Rest::Paged(pager)),
            None => {
                let mut snapshot = Snapshot::new(rows, batch_rows, last_seq);
                (Ok(snapshot.next()), Rest::Kept(snapshot))
            }
        };
        let Batch { rows, control } = match first {
            Ok(batch) => batch,
            Err(error) => return self.refuse(&id, &error.into()),
        };
        self.outbox.offer_text(server_frame::subscription_ack(&id, &schema, control, entry.domain.as_ref()));
        if options.is_some() {
            self.outbox.offer_text(server_frame::initial_data_batch(
                &id,
                &rows,
                control,
                entry.domain.as_ref(),
            ));
        }
        for change in &replay {
            // A long replay must not be the overflow that ends its own connection.
            if !self.outbox.room().await {
                return;
            }
            self.outbox.offer(entry.subscription.frame(server_frame::change_tail(change)));
        }
        if control.has_more {
            entry.rest = Some(rest);
        } else {
            entry.subscription.go_live();
        }
        self.by_id.insert(id, entry);
    }

    fn refuse(&self, id: &str, refusal: &Refusal) {
        self.outbox.offer_text(server_frame::error(id, refusal.code, &refusal.message));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.subscription.end();
        self.app.hub.leave(self.place.clone(), self.subscription.clone());
    }
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        Self { code: error.code, message: error.message }
    }
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let message = match id.len() {
        0 => "Subscription ID cannot be empty".to_owned(),
        1..=MOST_ID_BYTES => return Ok(()),
        _ => format!("Subscription ID cannot be longer than {MOST_ID_BYTES} bytes"),
    };
    Err(Refusal { code: "INVALID_SUBSCRIPTION_ID", message })
}

fn begin_of(
    options: Option<&SubscribeOptions>,
    from: Option<i64>,
    limits: &Limits,
    holes: Holes,
) -> Result<Begin, Refusal> {
    let Some(&SubscribeOptions { batch_size, last_rows, .. }) = options else {
        return Ok(Begin::Kept(Start::Nothing));
    };
    if batch_size == Some(0) {
        return Err(Refusal { code: "UNSUPPORTED", message: "batch_size must be at least 1".to_owned() });
    }
    match (last_rows, batch_size) {
        (Some(last_rows), Some(batch_size)) if last_rows > batch_size => Err(Refusal {
            code: "UNSUPPORTED",
            message: format!(
                "last_rows ({last_rows}) cannot exceed batch_size ({batch_size}); paginated last_rows replay \
                 is not supported"
            ),
        }),
        _ => Ok(match (from, last_rows) {
            (None, Some(rows)) if holes.last_rows => Begin::Paged(Page::Newest { rows }),
            (None, None) if holes.pages || holes.batch_end => {
                Begin::Paged(Page::After { seq: None, rows: batch_rows(options, limits) })
            }
            (Some(seq), _) if holes.tombstones => {
                Begin::Paged(Page::After { seq: Some(seq), rows: batch_rows(options, limits) })
            }
            _ => Begin::Kept(from.map_or(Start::Snapshot { last_rows }, Start::From)),
        }),
    }
}

fn batch_rows(options: Option<&SubscribeOptions>, limits: &Limits) -> u32 {
    let wished = options.and_then(|options| options.batch_size).unwrap_or(DEFAULT_BATCH_ROWS);
    wished.min(limits.batch_rows).max(1)
}
