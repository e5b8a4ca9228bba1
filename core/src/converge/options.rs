//! What may be chosen about checking.

use std::time::Duration;

/// How often the rows of a live query are checked against the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// As often as the server makes it necessary: never when it announces itself complete; otherwise at once where
    /// something was seen, and every [`Verify::INTERVAL`] for what nothing showed.
    #[default]
    Auto,
    /// Never. The rows are what the server tells, with all that it leaves out.
    Off,
    /// As [`Verify::Auto`], with another interval, between [`Verify::LEAST`] and [`Verify::MOST`].
    Every(Duration),
}

impl Verify {
    /// The interval of [`Verify::Auto`].
    pub const INTERVAL: Duration = Duration::from_secs(60);
    /// The least interval.
    pub const LEAST: Duration = Duration::from_secs(2);
    /// The greatest interval: a day.
    pub const MOST: Duration = Duration::from_secs(24 * 3_600);

    /// Time between two checks, as far as nothing calls for one before.
    pub fn interval(self) -> Duration {
        match self {
            Self::Auto | Self::Off => Self::INTERVAL,
            Self::Every(interval) => interval.clamp(Self::LEAST, Self::MOST),
        }
    }
}

/// What a [`Keeper`](super::Keeper) is told about its query.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeeperOptions {
    /// How often to check.
    pub verify: Verify,
    /// The query began with so many of the newest rows.
    pub last_rows: Option<u32>,
    /// Spreads the checks of many clients.
    pub seed: u64,
    /// What is done.
    pub rules: Rules,
}

/// A switch for each rule by which rows stay right (ARCHITECTURE.md, "How rows stay right"). All are on; a test that turns
/// one off must see wrong rows, or traffic that is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Versions of answers and of frames are not compared: each node has its own numbers.
    pub keep_sources_apart: bool,
    /// Within one subscription the order of arrival decides, whatever the numbers say.
    pub arrival_order: bool,
    /// Rows stay over a reconnect, and what changed meanwhile is looked for.
    pub keep_rows: bool,
    /// An answer of HTTP says less about a row than a frame that came since the query was sent.
    pub frames_beat_answers: bool,
    /// A removed key remembers its version, so that a late frame can not bring it back.
    pub remember_removals: bool,
    /// The server's set of versions is compared with the one that is held.
    pub digest: bool,
    /// The answers of another user are not believed.
    pub check_user: bool,
    /// A digest that differs proves nothing while frames arrive.
    pub quiet_digest: bool,
    /// While frames arrive, the number of rows shows what is gone.
    pub count_rows: bool,
    /// Where versions differ, content is compared.
    pub sweep: bool,
    /// Rows that no page of a whole sweep holds are removed.
    pub sweep_removes: bool,
    /// The columns are compared too.
    pub check_schema: bool,
    /// What the live evaluator does not follow is known.
    pub know_evaluator: bool,
    /// NULLs that the live evaluator takes for a match are looked up.
    pub doubt_nulls: bool,
    /// Other changes of the table are listened to.
    pub watch: bool,
    /// A snapshot is followed by a check.
    pub check_snapshots: bool,
    /// The newest rows are asked for over HTTP where `last_rows` was.
    pub ask_newest: bool,
    /// Checks keep a distance from each other.
    pub pace: bool,
    /// A write that changes nothing that is selected changes no row.
    pub versions_aside: bool,
    /// Watches give way: their slots to live queries, and the connection to more important frames.
    pub watches_yield: bool,
    /// What a text holds can not end its literal.
    pub literals: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            keep_sources_apart: true,
            arrival_order: true,
            keep_rows: true,
            frames_beat_answers: true,
            remember_removals: true,
            digest: true,
            check_user: true,
            quiet_digest: true,
            count_rows: true,
            sweep: true,
            sweep_removes: true,
            check_schema: true,
            know_evaluator: true,
            doubt_nulls: true,
            watch: true,
            check_snapshots: true,
            ask_newest: true,
            pace: true,
            versions_aside: true,
            watches_yield: true,
            literals: true,
        }
    }
}
