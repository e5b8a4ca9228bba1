//! The core without its sockets: recorded frames go through the connection machine into live rows, and a snapshot is taken
//! after each. Over a socket a reader sees the newest state only, so this is how the cost of "every version" is known.

use std::hint::black_box;
use std::time::Duration;

use kalam_live::live::{Begin, LiveOptions, LiveView, Rows};
use kalam_live::machine::{
    Action, Config, Decoding, Event, LinkId, Machine, Mode, OldValues, Resume, SubscribeOptions,
    SubscribeRequest, SubscriptionEvent, Token,
};
use kalam_live::protocol::{ChangeKind, RawFrame};
use kalam_live::sql::check_live;
use serde_json::{Value, json};

use crate::control::{Failure, Stopwatch, Workload, merged};
use crate::floor;

/// Takes a snapshot after every change and keeps it until the next, as a reader does.
pub(crate) async fn live_each(workload: &Workload) -> Result<Value, Failure> {
    let mut core = Core::new(&workload.sql())?;
    let frames = floor::record(workload, &core.subscription_id()?).await?;
    let (before, changes) = frames.split_at(frames.len() - workload.changes);
    before.iter().try_for_each(|frame| core.feed(frame))?;
    let mut rows = core.take()?.ok_or("no rows after the snapshot")?;
    if rows.len() != workload.rows {
        return Err(format!("{} rows after a snapshot of {}", rows.len(), workload.rows).into());
    }
    let stopwatch = Stopwatch::start()?;
    for frame in changes {
        core.feed(frame)?;
        rows = core.take()?.ok_or("a change that changed nothing")?;
    }
    let time = stopwatch.stop()?;
    if rows.last_seq_id().map(|seq| seq.get()) != Some(workload.final_seq) {
        return Err("the last rows are not the last change's".into());
    }
    Ok(merged([time, json!({"changes": workload.changes}), index_cost(&rows)?]))
}

/// What `rows[i]` costs at places all over.
fn index_cost(rows: &Rows) -> Result<Value, Failure> {
    const LOOKUPS: usize = 1_000_000;
    let stopwatch = Stopwatch::start()?;
    let mut place = 0;
    for _ in 0..LOOKUPS {
        place = (place + 7_919) % rows.len();
        black_box(rows.get(place));
    }
    let seconds = stopwatch.stop()?["seconds"].as_f64().unwrap_or(f64::NAN);
    Ok(json!({"index_ns": seconds * 1e9 / LOOKUPS as f64}))
}

/// A machine with one subscription and its rows; time stands still for it.
struct Core {
    machine: Machine,
    link: LinkId,
    view: LiveView,
}

const NOW: Duration = Duration::ZERO;

impl Core {
    fn new(sql: &str) -> Result<Self, Failure> {
        let config = Config { urls: vec!["ws://127.0.0.1/v1/ws".to_owned()], ..Config::default() };
        let mut machine = Machine::new(config)?;
        machine.connect(NOW)?;
        let Some(Action::FetchCredentials { attempt, .. }) = machine.poll_action() else {
            return Err("the machine asked for no credentials".into());
        };
        machine.handle_credentials(NOW, attempt, Ok(Some(Token::new("bench-token"))));
        let Some(Action::OpenLink { link, .. }) = machine.poll_action() else {
            return Err("the machine opened no link".into());
        };
        machine.handle_opened(NOW, link);
        let request = SubscribeRequest {
            id: None,
            sql: check_live(sql, &[], None)?,
            options: SubscribeOptions::default(),
            old: OldValues::Skip,
            resume: Resume::Live,
            decoding: Decoding::ByConnection,
        };
        machine.subscribe(NOW, request)?;
        Ok(Core { machine, link, view: LiveView::new(LiveOptions::default())? })
    }

    /// The id by which the machine will know its subscription.
    ///
    /// It is sent only after the greeting, which tells nothing that would change it.
    fn subscription_id(&mut self) -> Result<String, Failure> {
        let greeting = r#"{"type":"auth_success","user":"bench","role":"user","protocol":{"serialization":"json","compression":"none"}}"#;
        self.feed(greeting)?;
        while let Some(action) = self.machine.poll_action() {
            if let Action::Send { text, .. } = action {
                let message: Value = serde_json::from_str(&text)?;
                if let Some(id) = message["subscription"]["id"].as_str() {
                    return Ok(id.to_owned());
                }
            }
        }
        Err("the machine sent no subscription".into())
    }

    fn feed(&mut self, frame: &str) -> Result<(), Failure> {
        self.machine.handle_frame(NOW, self.link, RawFrame::Text(frame));
        while let Some(event) = self.machine.poll_event() {
            if let Event::Subscription { event, .. } = event {
                self.apply(event)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, event: SubscriptionEvent) -> Result<(), Failure> {
        match event {
            SubscriptionEvent::Acked { schema, mode: Mode::Fresh | Mode::Since, .. } => {
                self.view.begin(schema, Begin::Fresh)?
            }
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows)?,
            SubscriptionEvent::Ready => self.view.ready()?,
            SubscriptionEvent::Change(change) => {
                for row in change.rows {
                    match change.kind {
                        ChangeKind::Insert => self.view.insert(row)?,
                        ChangeKind::Update => self.view.update(row)?,
                        ChangeKind::Delete => self.view.delete(row)?,
                    }
                }
            }
            other => return Err(format!("unexpected event: {other:?}").into()),
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Rows>, Failure> {
        Ok(self.view.take().transpose()?)
    }
}
