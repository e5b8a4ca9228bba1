//! The connection: attempts, authentication, loss and retry.

use super::event::{
    Action, AttemptId, ConnectionState, Lifecycle, LinkEnd, LinkId, SubscriptionEvent, Token,
};
use super::pacing::Pacer;
use super::sabotage::Sabotage;
use super::subscription::{Progress, Stage};
use super::{Machine, Time, Timer};
use crate::checkpoint::Epoch;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{Announcement, AuthSuccess, ClientFrame};

/// How long the server may take to greet a link whose upgrade request held the token, before the token is sent as a
/// message as well. The server waits 3 seconds for one (recorded in `wire/auth.jsonl`) and repeats its greeting if it needed none.
const GREETING: Time = Time::from_secs(1);

/// Connections in a row that ended by what could not be decoded, before it is given up.
const MOST_BAD_CONNECTIONS: u32 = 3;

/// Where the connection stands.
#[derive(Debug, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    Fetching {
        attempt: AttemptId,
    },
    Opening {
        link: LinkId,
        token: Option<Token>,
    },
    Authenticating {
        link: LinkId,
        token: Option<Token>,
    },
    Connected {
        link: LinkId,
    },
    Waiting {
        until: Time,
    },
    GivenUp(Error),
    Closed,
}

/// The connection, and what earlier attempts have taught.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) phase: Phase,
    /// What the server of the present connection announced.
    pub(super) server: Option<Announcement>,
    /// Whose numbers its versions are.
    pub(super) epoch: Option<Epoch>,
    /// When the present connection was authenticated.
    pub(super) since: Time,
    /// A connection has been established since `connect`.
    pub(super) was_connected: bool,
    /// Established, lost, and now established again.
    pub(super) reconnected: bool,
    /// Failures without a stable connection in between.
    failures: u32,
    /// Failures in a row that the same URL would answer again.
    refusals: usize,
    /// Connections in a row that ended by an undecodable frame.
    bad_connections: u32,
    /// Index of the URL of the present or next attempt.
    url: usize,
    /// The next credentials must not come from a cache.
    refresh: bool,
    /// The credentials in use were refreshed because the server refused others.
    refreshed: bool,
    links: u64,
    attempts: u64,
}

impl Connection {
    /// Forgets earlier failures, as `connect` asks for.
    pub(super) fn start_over(&mut self) {
        let Self { url, links, attempts, .. } = *self;
        *self = Self { url, links, attempts, ..Self::default() };
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// The server of the present connection announced that it leaves nothing out.
    pub(super) fn is_complete(&self) -> bool {
        self.server.as_ref().is_some_and(|s| s.complete)
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.phase {
            Phase::Opening { link, .. } | Phase::Authenticating { link, .. } | Phase::Connected { link } => {
                Some(link)
            }
            _ => None,
        }
    }

    pub(super) fn state(&self) -> ConnectionState {
        let attempt = self.failures.saturating_add(1);
        match &self.phase {
            Phase::Idle => ConnectionState::Idle,
            Phase::Connected { .. } => ConnectionState::Connected,
            Phase::GivenUp(error) => ConnectionState::Closed { error: Some(error.clone()) },
            Phase::Closed => ConnectionState::Closed { error: None },
            _ if !self.was_connected => ConnectionState::Connecting { attempt },
            Phase::Waiting { until } => ConnectionState::Reconnecting { attempt, retry_at: Some(*until) },
            _ => ConnectionState::Reconnecting { attempt, retry_at: None },
        }
    }
}

/// The end of an attempt or of a connection, and what follows from it.
pub(super) struct Loss {
    error: Error,
    /// The server asked to be left alone for a while.
    busy: bool,
    /// Try another URL, even if this one has worked for long.
    elsewhere: bool,
    /// Trying again is of no use.
    fatal: bool,
    /// Close code for a link that is still open.
    close: Option<u16>,
}

impl Loss {
    /// The driver tells that the link is gone.
    fn told(error: Error) -> Self {
        Self { error, busy: false, elsewhere: false, fatal: false, close: None }
    }

    /// The machine gives up on a link that is open.
    pub(super) fn given_up(code: ErrorCode, message: &str) -> Self {
        Self { elsewhere: true, close: Some(1001), ..Self::told(Error::new(code, message)) }
    }

    fn busy(self, busy: bool) -> Self {
        Self { busy, ..self }
    }
}

impl Machine {
    // ---- what happened ----

    /// Credentials were found, none are needed (`Ok(None)`), or they could not be had. An error that is
    /// [`retryable`](Error::retryable) is tried again; another ends the attempts.
    pub fn handle_credentials(&mut self, now: Time, attempt: AttemptId, result: Result<Option<Token>>) {
        if !matches!(self.connection.phase, Phase::Fetching { attempt: current } if current == attempt) {
            return;
        }
        match result {
            Ok(token) => {
                self.timers.stop(Timer::Credentials);
                // Only now: an attempt that was given up before, or could not ask, still has the refused ones.
                self.connection.refresh = false;
                self.connection.links += 1;
                let link = LinkId(self.connection.links);
                let url = self.config.urls[self.connection.url].clone();
                let in_header = token.clone().filter(|_| self.config.header_auth);
                self.actions.push_back(Action::OpenLink { link, url, token: in_header });
                self.connection.phase = Phase::Opening { link, token };
                self.timers.set(Timer::Open, now + self.config.timeouts.connect);
            }
            Err(error) => {
                let fatal = !error.retryable();
                self.lose(now, Loss { fatal, ..Loss::told(error) });
            }
        }
    }

    /// A link is open.
    pub fn handle_opened(&mut self, now: Time, opened: LinkId) {
        let Phase::Opening { link, token } = &self.connection.phase else { return };
        if *link != opened {
            return;
        }
        let (link, token) = (*link, token.clone());
        self.timers.stop(Timer::Open);
        self.pacer = Pacer::new(self.config.messages_per_second);
        self.timers.set(Timer::Authenticate, now + self.config.timeouts.auth);
        let has_token = token.is_some();
        self.connection.phase = Phase::Authenticating { link, token };
        if !self.config.header_auth {
            self.authenticate(now);
        } else if has_token {
            self.timers.set(Timer::AuthenticateByMessage, now + GREETING);
        }
    }

    /// A pong came.
    pub fn handle_pong(&mut self, link: LinkId) {
        if self.connection.link() == Some(link) {
            self.timers.stop(Timer::Pong);
        }
    }

    /// A link ended, or could not be opened.
    pub fn handle_closed(&mut self, now: Time, link: LinkId, end: LinkEnd) {
        if self.connection.link() != Some(link) {
            return;
        }
        match end {
            LinkEnd::Rejected { status: 401 | 403, message } => self.refused(now, &message, None),
            LinkEnd::Rejected { status, message } => {
                let loss = rejected(status, &message, self.connection.was_connected);
                self.lose(now, loss);
            }
            LinkEnd::Closed { code: Some(1008), reason } => self.refused(now, &reason, None),
            LinkEnd::Closed { code, reason } => {
                if code.is_some_and(is_our_fault) {
                    self.suspect_unacked(&reason);
                }
                let elsewhere = matches!(code, Some(1001 | 1012 | 1013));
                let loss =
                    Loss::told(closed_by_server(code, &reason)).busy(matches!(code, Some(1012 | 1013)));
                self.lose(now, Loss { elsewhere, ..loss });
            }
            LinkEnd::Failed(error) => self.lose(now, Loss::told(error)),
        }
    }

    /// Deadlines have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Credentials => self.give_up_link(now, "the credentials were not there in time"),
                Timer::Open => self.give_up_link(now, "the server did not accept the connection in time"),
                Timer::Authenticate => self.give_up_link(
                    now,
                    "the server did not greet the connection in time: is there a KalamDB server at this URL?",
                ),
                Timer::Pong => self.give_up_link(now, "the server does not answer any more"),
                Timer::AuthenticateByMessage => self.authenticate(now),
                Timer::Retry => self.begin_attempt(now),
                Timer::Stable => {
                    self.connection.failures = 0;
                    self.connection.bad_connections = 0;
                }
                Timer::Subscription => self.check_deadlines(now),
                Timer::Keepalive => self.ping(now),
                Timer::Send => {}
            }
        }
        self.flush(now);
    }

    // ---- steps ----

    /// Asks for credentials, the first step of an attempt.
    pub(super) fn begin_attempt(&mut self, now: Time) {
        self.timers.stop_all();
        self.connection.attempts += 1;
        let attempt = AttemptId(self.connection.attempts);
        let refresh = self.connection.refresh;
        self.connection.phase = Phase::Fetching { attempt };
        self.timers.set(Timer::Credentials, now + self.config.timeouts.connect);
        self.actions.push_back(Action::FetchCredentials { attempt, refresh });
    }

    /// Sends the token as a message.
    fn authenticate(&mut self, now: Time) {
        if let Phase::Authenticating { link, token: Some(token) } = &self.connection.phase {
            let frame = ClientFrame::Authenticate { token: token.expose(), protocol: self.config.protocol };
            let (link, text) = (*link, frame.to_json());
            self.send(now, link, text);
        }
    }

    /// `auth_success` came.
    pub(super) fn authenticated(&mut self, now: Time, success: AuthSuccess) {
        let Phase::Authenticating { link, .. } = self.connection.phase else { return };
        self.timers.stop_all();
        let AuthSuccess { user, role, server, .. } = success;
        if let Some(rate) = server.as_ref().and_then(|s| s.limits.messages_per_second) {
            self.pacer.set_rate(rate);
        }
        let connection = &mut self.connection;
        connection.phase = Phase::Connected { link };
        connection.server = server.clone();
        let announced = server.as_ref().and_then(|server| Epoch::announced(&server.epoch));
        let complete = server.as_ref().is_some_and(|server| server.complete);
        let of_node = || Epoch::of_node(&self.config.urls[connection.url], complete);
        connection.epoch = Some(announced.unwrap_or_else(of_node));
        connection.since = now;
        connection.refusals = 0;
        connection.refreshed = false;
        let reconnected = std::mem::replace(&mut connection.was_connected, true);
        connection.reconnected = reconnected;
        self.counters.connects += 1;
        self.timers.set(Timer::Stable, now + self.config.backoff.stable_after);
        self.timers.set(Timer::Keepalive, now + self.config.timeouts.keepalive);
        let url = self.config.urls[self.connection.url].clone();
        self.lifecycle(Lifecycle::Connected { url, user, role, server, reconnected });
        for key in self.table.keys() {
            self.enqueue_subscribe(key);
        }
    }

    /// The server does not accept the credentials. They are refreshed once; what was in use for a while is refreshed
    /// like any other reconnect. `close`: the link is still open.
    pub(super) fn refused(&mut self, now: Time, message: &str, close: Option<u16>) {
        let had_token = match &self.connection.phase {
            Phase::Opening { token, .. } | Phase::Authenticating { token, .. } => token.is_some(),
            _ => true,
        };
        // A message that came too late says nothing about the token (recorded in wire/auth.jsonl).
        let too_late = had_token && message.to_ascii_lowercase().contains("timeout");
        let advice = if had_token {
            "check user, password or token"
        } else {
            "it wants a user and password, or a token"
        };
        let error = Error::new(
            ErrorCode::AuthFailed,
            format!("the server refused the connection ({message}): {advice}"),
        );
        if self.connection.is_connected() || too_late {
            self.connection.refresh = !too_late;
            self.connection.refreshed |= !too_late;
            self.lose(now, Loss { close, ..Loss::told(error.with_retryable(true)) });
        } else if self.connection.refreshed {
            self.lose(now, Loss { close, fatal: true, ..Loss::told(error) });
        } else {
            self.leave_link(close);
            self.connection.refresh = true;
            self.connection.refreshed = true;
            self.begin_attempt(now);
        }
    }

    /// A frame could not be decoded, and whose it was is not known.
    pub(super) fn lose_by_bad_frame(&mut self, now: Time, error: Error) {
        self.connection.bad_connections += 1;
        let fatal = self.connection.bad_connections >= MOST_BAD_CONNECTIONS;
        let loss = Loss::told(error.with_retryable(!fatal));
        self.lose(now, Loss { fatal, close: Some(1002), elsewhere: true, ..loss });
    }

    fn give_up_link(&mut self, now: Time, message: &str) {
        self.lose(now, Loss::given_up(ErrorCode::Timeout, message));
    }

    /// Ends the attempt or the connection, and plans the next.
    pub(super) fn lose(&mut self, now: Time, loss: Loss) {
        let Loss { error, busy, elsewhere, fatal, close } = loss;
        let stable = self.connection.is_connected() && !self.timers.is_set(Timer::Stable);
        let was_connected = self.leave_link(close);
        let urls = self.config.urls.len();
        let connection = &mut self.connection;
        connection.failures = connection.failures.saturating_add(1);
        connection.refusals = if error.retryable() { 0 } else { connection.refusals + 1 };
        // Versions belong to a node: the same one resumes best, if it is there.
        if elsewhere || !stable {
            connection.url = (connection.url + 1) % urls;
        }
        let attempt = connection.failures;
        let final_one = fatal
            || connection.refusals >= urls
            || self.config.max_retries.is_some_and(|most| attempt > most);
        let retry_in = (!final_one).then(|| self.config.backoff.delay(attempt, busy, &mut self.random));
        match retry_in {
            Some(wait) => {
                let until = now + wait;
                self.connection.phase = Phase::Waiting { until };
                self.timers.set(Timer::Retry, until);
            }
            None => self.connection.phase = Phase::GivenUp(error.clone()),
        }
        let event = if was_connected {
            Lifecycle::Disconnected { error: error.clone(), retry_in }
        } else {
            Lifecycle::ConnectFailed { error: error.clone(), attempt, retry_in }
        };
        self.lifecycle(event);
        if final_one {
            for key in self.table.keys() {
                self.table.remove(key);
                self.notify(key, SubscriptionEvent::Failed(error.clone()));
            }
        }
    }

    /// Forgets the link and everything that belonged to it. Returns whether it was an authenticated one. The phase is left to
    /// the caller.
    pub(super) fn leave_link(&mut self, close: Option<u16>) -> bool {
        if let (Some(link), Some(code)) = (self.connection.link(), close) {
            self.actions.push_back(Action::CloseLink { link, code });
        }
        self.timers.stop_all();
        self.outbox.clear();
        self.connection.server = None;
        for key in self.table.keys() {
            let incarnation = self.table.retire(key, Stage::Offline);
            if incarnation.is_some_and(|i| i.progress != Progress::Unacked) {
                self.notify(key, SubscriptionEvent::Interrupted);
            }
        }
        self.connection.is_connected()
    }

    /// Asks the server for a sign of life, which it needs from us as well.
    pub(super) fn ping(&mut self, now: Time) {
        let Phase::Connected { link } = self.connection.phase else { return };
        self.actions.push_back(Action::Ping { link });
        if !self.timers.is_set(Timer::Pong) && self.config.sabotage() != Sabotage::PongDeadline {
            self.timers.set(Timer::Pong, now + self.config.timeouts.pong);
        }
        self.timers.set(Timer::Keepalive, now + self.config.timeouts.keepalive);
    }
}

/// The close code blames a message of ours.
fn is_our_fault(code: u16) -> bool {
    matches!(code, 1002 | 1003 | 1007 | 1009 | 1011)
}

fn closed_by_server(code: Option<u16>, reason: &str) -> Error {
    let code = code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}"));
    let reason = if reason.is_empty() { "no reason given" } else { reason };
    Error::new(ErrorCode::Disconnected, format!("the server closed the connection ({code}: {reason})"))
}

/// The upgrade request got another answer than 101. Where there was a KalamDB before it comes back: a gateway answers 404 for
/// a moment when what is behind it is replaced.
fn rejected(status: u16, message: &str, was_connected: bool) -> Loss {
    let busy = matches!(status, 429 | 503);
    let (code, advice) = match status {
        429 => (ErrorCode::RateLimited, "it is tried again later"),
        408 | 425 | 500.. => (ErrorCode::Unavailable, "it is tried again"),
        _ if was_connected => {
            (ErrorCode::Unavailable, "there was a KalamDB server before, so it is tried again")
        }
        404 => (ErrorCode::NotFound, "is this the URL of a KalamDB server?"),
        _ => (ErrorCode::Config, "is this the URL of a KalamDB server?"),
    };
    let said = if message.is_empty() { String::new() } else { format!(" ({message})") };
    let text = format!("the server answered the WebSocket request with HTTP status {status}{said}: {advice}");
    Loss::told(Error::new(code, text)).busy(busy)
}
