//! The database inside the embedded server: catalog, SQL, users and live queries on SQLite.
//!
//! The engine knows no HTTP, WebSocket or JSON frame. All calls block; none needs an async runtime.
//!
//! Layers, each importing only those above it: values (`data_type`, `cell`, `decimal`, `time`, `convert`), definitions
//! (`catalog`, `row`, `user`), `storage` (SQLite, the commit lock), `sql` (text to checked plans), `run` (plans to
//! results and changes), `live`, `topics` (changes to records).
//!
//! ```
//! use kalam_embedded::engine::{Caller, Data, Engine, EngineOptions, Role, SqlRequest};
//!
//! let engine = Engine::open(EngineOptions::new(Data::Memory)).unwrap();
//! let root = Caller { user: "root".into(), role: Role::System };
//! let sql = "CREATE NAMESPACE chat; CREATE TABLE chat.messages (id INT PRIMARY KEY, body TEXT) WITH (TYPE='USER');
//!            INSERT INTO chat.messages VALUES (1, 'hello'); SELECT body FROM chat.messages";
//! let results = engine.execute(&root, &SqlRequest { sql: sql.into(), ..SqlRequest::default() }).unwrap();
//! assert_eq!(results[3].row_count, 1);
//! ```

mod accounts;
mod catalog;
mod cell;
mod commits;
mod condition;
mod convert;
mod data_type;
mod decimal;
mod error;
mod files;
mod interval;
mod live;
mod live_emulated;
mod live_list;
mod live_plan;
mod options;
mod plans;
mod row;
mod run;
mod sql;
mod statement;
mod storage;
mod sweep;
mod system;
mod time;
mod topics;
mod user;

use std::sync::{Arc, atomic::AtomicBool};

use parking_lot::{Mutex, RwLock};

use accounts::{Account, Accounts, ROOT};
use catalog::Catalog;
use commits::Commits;
use plans::Plans;
use storage::{Db, Storage, meta, sql_error};
use sweep::Sweeper;
use topics::Topics;

use crate::holes::Holes;
use crate::wire::Wire;

pub use cell::Cell;
pub use commits::CommitCounts;
pub use data_type::{Column, DataType, Flags};
pub use decimal::Decimal;
pub use error::{CredentialError, EngineError, SqlError};
pub use files::{FileAddress, FileContent, MOST_FILES, Upload};
pub(crate) use live::SCHEMA_CHANGED;
pub use live::{LiveChange, LiveFields, LiveQuery, LiveRow, LiveStart, Start};
pub use live_emulated::Page;
pub use live_list::{LiveInfo, LiveList};
pub use options::{Data, EngineLimits, EngineOptions};
pub use row::{ChangeKind, CommitObserver, RowChange, StoredRow, TableId};
pub use run::Submitted;
pub use statement::{SqlRequest, StatementResult};
pub use storage::{CheckReport, backup, check};
pub(crate) use time::now_micros;
pub use topics::{ConsumeRequest, Consumed, Position, TopicGroup, TopicRecord};
pub use user::{Caller, Role, UserInfo};

/// A database, in memory or in a directory. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    /// Before the data, which it holds while it looks.
    _sweeper: Arc<Sweeper>,
    inner: Arc<Inner>,
}

struct Inner {
    commits: Commits,
    storage: Storage,
    /// Replaced under the commit lock.
    catalog: RwLock<Arc<Catalog>>,
    accounts: RwLock<Accounts>,
    observer: RwLock<Option<Arc<dyn CommitObserver>>>,
    /// Where WebSockets are accepted, once a server is there.
    ws_url: RwLock<Option<String>>,
    live_list: RwLock<Option<Arc<dyn LiveList>>>,
    plans: Plans,
    topics: Topics,
    /// Private connections without data: for expressions and system tables, and for the filters of live queries.
    scratch: Mutex<Db>,
    evaluator: Arc<Mutex<Db>>,
    limits: EngineLimits,
    holes: Holes,
    node: u16,
    secret: [u8; 32],
    epoch: String,
    generated_root_password: Option<String>,
    /// How long tombstones are kept in tables that do not say.
    tombstone_hours: u64,
}

impl Inner {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Under the commit lock, so that observers hear of commits in their order.
    fn tell(&self, changes: &[RowChange]) {
        if changes.is_empty() {
            return;
        }
        if let Some(observer) = &*self.observer.read() {
            observer.committed(changes);
            let topics = self.topics_fed_by(changes);
            if !topics.is_empty() {
                observer.published(&topics);
            }
        }
    }

    /// The live queries that are open, as far as somebody tells.
    fn live(&self) -> Vec<LiveInfo> {
        self.live_list.read().as_ref().map(|list| list.live()).unwrap_or_default()
    }

    fn kill_live(&self, live_id: &str) -> bool {
        self.live_list.read().as_ref().is_some_and(|list| list.kill(live_id))
    }

    fn ws_url(&self) -> String {
        self.ws_url.read().clone().unwrap_or_else(|| "ws://localhost/v1/ws".into())
    }

    fn tell_changed(&self, table: TableId, dropped: bool) {
        if let Some(observer) = &*self.observer.read() {
            observer.table_changed(table, dropped);
        }
    }
}

impl Engine {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// When the directory is in use by another server, can not be used, or was written by an unknown version.
    pub fn open(options: EngineOptions) -> Result<Self, EngineError> {
        let (storage, loaded) = Storage::open(&options.data, options.node)?;
        let mut accounts = Accounts::new(loaded.users).map_err(EngineError::Storage)?;
        let generated_root_password = set_root(&storage, &mut accounts, options.root_password.as_deref())?;
        let scratch = Db::memory(&storage.identifiers)?;
        if options.limits.heap_bytes > 0 {
            scratch.limit_heap(options.limits.heap_bytes)?;
        }
        let scratch = Mutex::new(scratch);
        let evaluator = Arc::new(Mutex::new(Db::memory(&storage.identifiers)?));
        let inner = Arc::new(Inner {
            commits: Commits::new(),
            storage,
            catalog: RwLock::new(Arc::new(Catalog { wire: options.wire, ..loaded.catalog })),
            accounts: RwLock::new(accounts),
            observer: RwLock::new(None),
            ws_url: RwLock::new(None),
            live_list: RwLock::new(None),
            node: options.node,
            plans: Plans::default(),
            topics: Topics::new(loaded.topics, loaded.topic_progress, options.topic_visibility),
            scratch,
            evaluator,
            limits: options.limits,
            holes: options.holes,
            secret: loaded.secret,
            epoch: loaded.epoch,
            generated_root_password,
            tombstone_hours: options.tombstone_hours,
        });
        inner.commits.start(Arc::downgrade(&inner))?;
        Ok(Self { _sweeper: Arc::new(Sweeper::start(Arc::downgrade(&inner))?), inner })
    }

    /// Names the data: numbers of versions mean nothing to other data, also not to a copy of these that was made earlier.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.inner.epoch
    }

    /// The password made for `root`, when the data was created by this call without one.
    #[must_use]
    pub fn generated_root_password(&self) -> Option<&str> {
        self.inner.generated_root_password.as_deref()
    }

    /// Random bytes that live and die with the data; the key for tokens.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.inner.secret
    }

    /// Checks a password. Costs tens of milliseconds of CPU, as much for an unknown user.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`] for an unknown user, a dropped one, or a wrong password.
    pub fn verify_password(&self, user: &str, password: &str) -> Result<UserInfo, CredentialError> {
        let (hash, real) = self.inner.accounts.read().hash_of(user);
        let right = accounts::verify(&hash, password)?;
        if !right || !real {
            return Err(CredentialError::Invalid);
        }
        // Read again: the account may have been dropped, or its password changed, while the hash was computed.
        let accounts = self.inner.accounts.read();
        accounts.get(user).filter(|a| a.hash == hash).map(accounts::info).ok_or(CredentialError::Invalid)
    }

    /// The account, unless it does not exist or was dropped.
    #[must_use]
    pub fn user(&self, user: &str) -> Option<UserInfo> {
        self.inner.accounts.read().get(user).map(accounts::info)
    }

    /// Runs a batch: statements separated by `;`, in order. A failed statement ends it; what ran before stays, unless a
    /// transaction was open, which is rolled back.
    ///
    /// # Errors
    /// Codes as recorded in `wire/sql_surface.jsonl`: `INVALID_SQL` (nothing ran), `SQL_EXECUTION_ERROR` with the number
    /// of the statement, `PERMISSION_DENIED`, `INVALID_PARAMETER`, `PARAMS_WITH_BATCH`, `EMPTY_SQL`, `INTERNAL_ERROR`.
    pub fn execute(&self, caller: &Caller, request: &SqlRequest) -> Result<Vec<StatementResult>, SqlError> {
        run::Batch::run(&self.inner, caller, request, &[])
    }

    /// As [`Engine::execute`], with files for what `FILE("name")` in the statements asks for.
    ///
    /// # Errors
    /// Also `MISSING_FILE`, `EXTRA_FILE` and `TOO_MANY_FILES`; then nothing ran.
    pub fn execute_with_files(
        &self,
        caller: &Caller,
        request: &SqlRequest,
        files: &[Upload],
    ) -> Result<Vec<StatementResult>, SqlError> {
        run::Batch::run(&self.inner, caller, request, files)
    }

    /// Reads a file that a row holds.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND`, also for files of others; `PERMISSION_DENIED` where the caller's rank does not do.
    pub fn file(&self, caller: &Caller, address: &FileAddress<'_>) -> Result<FileContent, SqlError> {
        files::read(&self.inner, caller, address)
    }

    /// Queues a request that is a single INSERT, UPDATE or DELETE, without blocking: `done` is called, on another thread or
    /// this one, when it is durable or refused. False, and `done` is never called, when the request is anything else.
    pub fn submit(
        &self,
        caller: &Caller,
        request: &SqlRequest,
        done: impl FnOnce(Submitted) + Send + 'static,
    ) -> bool {
        run::Batch::submit(&self.inner, caller, request, done)
    }

    /// How many single writes were committed, and in how many transactions: they share them when they come at once.
    #[must_use]
    pub fn commit_counts(&self) -> CommitCounts {
        self.inner.commits.counts()
    }

    /// Checks a live query: shape, permission, names and types; compiles its filter.
    ///
    /// # Errors
    /// Codes as recorded in `wire/live_errors.jsonl`: `INVALID_SQL`, `NOT_FOUND`, `SUBSCRIPTION_FAILED`, `UNAUTHORIZED`,
    /// `UNSUPPORTED`.
    pub fn prepare_live(&self, caller: &Caller, sql: &str) -> Result<Arc<LiveQuery>, SqlError> {
        let wire = self.inner.catalog().wire;
        self.prepare_live_on(caller, sql, wire)
    }

    /// The same for a client that speaks this protocol.
    pub(crate) fn prepare_live_on(
        &self,
        caller: &Caller,
        sql: &str,
        wire: Wire,
    ) -> Result<Arc<LiveQuery>, SqlError> {
        let inner = &self.inner;
        let parts = live_plan::Parts {
            catalog: &inner.catalog(),
            wire,
            evaluator: &inner.evaluator,
            limits: &inner.limits,
            holes: inner.holes,
        };
        live_plan::prepare(&parts, caller, sql).map(Arc::new)
    }

    /// Reads what a new subscription starts with, and runs `register` at that very point of the commit order: no commit
    /// lies between what [`LiveStart`] holds and the moment `register` ran. Changes may reach the observer before this
    /// returns; they come after the start.
    ///
    /// # Errors
    /// `NOT_FOUND` or `SCHEMA_CHANGED` when the table was dropped or altered since the query was prepared (then `register`
    /// did not run); `SUBSCRIPTION_FAILED` when reading fails (then it may have run).
    pub fn start_live<T>(
        &self,
        query: &LiveQuery,
        start: Start,
        register: impl FnOnce() -> T,
    ) -> Result<(LiveStart, T), SqlError> {
        let inner = &self.inner;
        let reader = if start == Start::Nothing { None } else { inner.storage.pinned_reader()? };
        let writer = inner.storage.write();
        let catalog = inner.catalog();
        match catalog.table(&query.table.namespace, &query.table.name) {
            Some(table) if table.id == query.table.id && table.version == query.table.version => {}
            Some(table) if table.id == query.table.id => {
                let message = "the table was altered: subscribe again";
                return Err(SqlError::new(SCHEMA_CHANGED, 409, message));
            }
            _ => {
                let (namespace, name) = (&query.table.namespace, &query.table.name);
                return Err(SqlError::new(
                    "NOT_FOUND",
                    404,
                    format!("Not found: Table not found: {namespace}:{name}"),
                ));
            }
        }
        if let Start::From(cursor) = start
            && meta::forgotten(&writer.db.connection, query.table.id)
                .map_err(sql_error)?
                .is_some_and(|f| f > cursor)
        {
            return Err(SqlError::new(
                "CURSOR_EXPIRED",
                410,
                "rows were deleted since this cursor and their tombstones are gone: subscribe again with a snapshot",
            ));
        }
        let Some(reader) = reader else {
            let registered = register();
            return Ok((query.read_start(&writer.db, start)?, registered));
        };
        // Under the lock only the moment is fixed; reading, which may take long, goes on beside the writer.
        let connection = &reader.db().connection;
        let pinned = connection.execute_batch("BEGIN").and_then(|()| {
            connection.query_row("SELECT 1 FROM meta WHERE key = 'reserved_seq'", [], |_| Ok(()))
        });
        pinned.map_err(sql_error)?;
        let registered = register();
        drop(writer);
        Ok((query.read_start(reader.db(), start)?, registered))
    }

    /// Where clients open their WebSockets, for SUBSCRIBE TO.
    pub fn set_ws_url(&self, url: String) {
        *self.inner.ws_url.write() = Some(url);
    }

    /// Takes out what is over at `now` (microseconds since the epoch): rows of STREAM tables, which subscribers are told
    /// of, and tombstones older than their table's retention. Happens by itself all the time; reads never show what is
    /// over, swept or not.
    pub fn sweep(&self, now: i64) {
        sweep::sweep(&self.inner, now, true, &AtomicBool::new(false));
    }

    /// Reads a part of a snapshot the way KalamDB does: whatever is there now, in its order. True if it says that more
    /// follows.
    ///
    /// # Errors
    /// `SUBSCRIPTION_FAILED` when reading fails.
    pub fn live_page(&self, query: &LiveQuery, page: Page) -> Result<(Vec<LiveRow>, bool), SqlError> {
        self.inner.storage.read(|db| query.page(db, page))
    }

    /// Every group of consumers and how far it is.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when reading fails.
    pub fn topic_groups(&self) -> Result<Vec<TopicGroup>, SqlError> {
        self.inner.topic_groups()
    }

    /// Says who knows the open live queries, for `system.live`.
    pub fn set_live_list(&self, list: Arc<dyn LiveList>) {
        *self.inner.live_list.write() = Some(list);
    }

    /// Replaces the observer of commits.
    pub fn set_observer(&self, observer: Arc<dyn CommitObserver>) {
        *self.inner.observer.write() = Some(observer);
    }
}

/// Makes `root` at the first start, or gives it the password that the caller asks for. Returns a generated password.
fn set_root(
    storage: &Storage,
    accounts: &mut Accounts,
    password: Option<&str>,
) -> Result<Option<String>, EngineError> {
    let existing = accounts.get(ROOT).cloned();
    let (password, generated) = match (password, &existing) {
        (None, Some(_)) => return Ok(None),
        (Some(password), Some(root)) if accounts::verify(&root.hash, password).unwrap_or(false) => {
            return Ok(None);
        }
        (Some(password), _) => (password.to_owned(), None),
        (None, None) => {
            let password = accounts::random_password().map_err(EngineError::Storage)?;
            (password.clone(), Some(password))
        }
    };
    accounts::check_new_password(&password)
        .map_err(|e| EngineError::Storage(format!("root: {}", e.message)))?;
    let now = now_micros();
    let account = Account {
        id: ROOT.into(),
        hash: accounts::hash(&password).map_err(EngineError::Storage)?,
        role: Role::System,
        email: Some("root@localhost".into()),
        created_at: existing.as_ref().map_or(now, |root| root.created_at),
        updated_at: now,
        generation: existing.map_or(1, |root| root.generation + 1),
        dropped: false,
    };
    meta::store_user(&storage.write().db.connection, &account)?;
    accounts.put(account);
    Ok(generated)
}
