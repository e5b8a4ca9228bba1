//! The data directory: what is kept, who may read it, who may open it, what a crash leaves.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use crate::common::{rows, run};
use kalam_embedded::engine::{Data, Engine, EngineError, EngineOptions, check};
use serde_json::json;

fn open(path: &Path) -> Engine {
    try_open(path, Some("secret")).unwrap_or_else(|e| panic!("{e}"))
}

fn try_open(path: &Path, password: Option<&str>) -> Result<Engine, EngineError> {
    let options = EngineOptions::new(Data::Directory(path.to_owned()));
    Engine::open(EngineOptions { root_password: password.map(str::to_owned), ..options })
}

#[test]
fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er");
    let engine = open(&path);
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, d DECIMAL(10,2) DEFAULT 1.5, v TEXT) WITH (TYPE='USER', FLUSH_POLICY='rows:10')",
    );
    run(
        &engine,
        "INSERT INTO n.t (id, v) VALUES (1, 'x'), (2, 'y'); DELETE FROM n.t WHERE id = 2; ALTER TABLE n.t ADD COLUMN e INT",
    );
    run(
        &engine,
        "CREATE USER 'al' WITH PASSWORD 'pw' ROLE dba; CREATE USER 'gone' WITH PASSWORD 'pw'; DROP USER 'gone'",
    );
    let (secret, shown) = (*engine.secret(), rows(&engine, "SELECT * FROM n.t"));
    let described = rows(&engine, "DESCRIBE n.t");
    let last: i64 =
        rows(&engine, "SELECT _seq FROM n.t WHERE _deleted = true")[0][0].as_str().unwrap().parse().unwrap();
    drop(engine);

    let engine = open(&path);
    assert_eq!(*engine.secret(), secret);
    assert_eq!(rows(&engine, "SELECT * FROM n.t"), shown);
    assert_eq!(rows(&engine, "DESCRIBE n.t"), described);
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE _deleted = true"), json!([[2]]));
    assert!(engine.verify_password("al", "pw").is_ok() && engine.verify_password("gone", "pw").is_err());
    run(&engine, "INSERT INTO n.t (id) VALUES (3)");
    let next: i64 =
        rows(&engine, "SELECT _seq FROM n.t WHERE id = 3")[0][0].as_str().unwrap().parse().unwrap();
    assert!(next > last);
}

#[test]
fn one_server_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let second = try_open(directory.path(), None);
    assert!(matches!(second, Err(EngineError::Locked(_))), "{:?}", second.err());
    let clone = engine.clone();
    drop(engine);
    assert!(matches!(try_open(directory.path(), None), Err(EngineError::Locked(_))));
    drop(clone);
    open(directory.path());
}

#[cfg(unix)]
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let engine = open(&path);
    run(&engine, "CREATE NAMESPACE n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3, "database, WAL and lock at least");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[test]
fn the_root_password() {
    let directory = tempfile::tempdir().unwrap();
    let engine = try_open(directory.path(), None).unwrap();
    let generated = engine.generated_root_password().unwrap().to_owned();
    let generation = engine.user("root").unwrap().generation;
    drop(engine);
    // Generated once.
    let engine = try_open(directory.path(), None).unwrap();
    assert_eq!(engine.generated_root_password(), None);
    assert!(engine.verify_password("root", &generated).is_ok());
    drop(engine);
    // Whoever starts the server can set another one; that voids old tokens.
    let engine = try_open(directory.path(), Some("chosen")).unwrap();
    assert!(
        engine.verify_password("root", "chosen").is_ok()
            && engine.verify_password("root", &generated).is_err()
    );
    assert!(engine.user("root").unwrap().generation > generation);
    let generation = engine.user("root").unwrap().generation;
    drop(engine);
    assert_eq!(open_with(directory.path(), "chosen").user("root").unwrap().generation, generation);
}

fn open_with(path: &Path, password: &str) -> Engine {
    try_open(path, Some(password)).unwrap()
}

#[test]
fn what_can_not_be_opened_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let refused = try_open(&file, None).err().unwrap().to_string();
    assert!(refused.starts_with(&format!("can not keep data in the file {}", file.display())), "{refused}");
    for nothing in [&file, &directory.path().join("missing"), directory.path()] {
        let refused = check(nothing).unwrap_err().to_string();
        assert!(refused.ends_with("is no data directory: it has no kalam.db"), "{refused}");
    }
    // Not a database.
    let junk = directory.path().join("junk");
    std::fs::create_dir(&junk).unwrap();
    std::fs::write(
        junk.join("kalam.db"),
        "this is not a database, and long enough to be read as one".repeat(50),
    )
    .unwrap();
    for refused in [try_open(&junk, None).err().unwrap(), check(&junk).unwrap_err()] {
        let said = "the data directory is damaged: file is not a database: go back to a copy";
        assert!(refused.to_string().starts_with(said), "{refused}");
    }
    // From the future.
    let future = directory.path().join("future");
    drop(open(&future));
    let raw = rusqlite::Connection::open(future.join("kalam.db")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = try_open(&future, None).err().unwrap();
    assert!(refused.to_string().contains("schema version 99"), "{refused}");
}

const CHILD: &str = "KALAM_TEST_CRASH_DIRECTORY";

/// Not a test of its own: the process that is killed by the next one.
#[test]
fn crash_child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let engine = open(Path::new(&path));
    run(
        &engine,
        "CREATE NAMESPACE IF NOT EXISTS n; CREATE TABLE IF NOT EXISTS n.t (id INT PRIMARY KEY, pair INT)",
    );
    let first = rows(&engine, "SELECT coalesce(max(id), 0) AS m FROM n.t")[0][0]
        .as_str()
        .map_or(0, |m| m.parse::<i64>().unwrap());
    let mut out = std::io::stdout();
    for id in (first + 1..).step_by(2) {
        let other = id + 1;
        run(
            &engine,
            &format!(
                "BEGIN; INSERT INTO n.t VALUES ({id}, {other}); INSERT INTO n.t VALUES ({other}, {id}); COMMIT"
            ),
        );
        writeln!(out, "acknowledged {other}").unwrap();
    }
}

/// `kill -9` while it writes: what was acknowledged is there, no transaction is torn.
#[test]
fn a_committed_write_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut least = 0;
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["storage::crash_child", "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse::<i64>().ok());
        least = acknowledged.take(20 + round * 7).last().unwrap().max(least);
        child.kill().unwrap();
        child.wait().unwrap();

        let engine = open(directory.path());
        let got = rows(&engine, "SELECT count(*) AS n, max(id) AS m FROM n.t");
        let (count, newest) =
            (got[0][0].as_str().unwrap().parse::<i64>().unwrap(), got[0][1].as_i64().unwrap());
        assert!(newest >= least, "{least} was acknowledged, {newest} is the newest");
        assert_eq!(count, newest, "a row is missing");
        assert_eq!(count % 2, 0, "a transaction is torn");
    }
}

#[test]
fn a_copy_is_another_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("data"), directory.path().join("copy"));
    let epoch = open(&path).epoch().to_owned();
    assert_eq!(open(&path).epoch(), epoch, "a restart is not");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(path.join("kalam.db"), copy.join("kalam.db")).unwrap();
    let of_copy = open(&copy).epoch().to_owned();
    assert_ne!(of_copy, epoch);
    assert_eq!(open(&copy).epoch(), of_copy);
    // Restored to where it was.
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::copy(copy.join("kalam.db"), path.join("kalam.db")).unwrap();
    let restored = open(&path).epoch().to_owned();
    assert!(restored != epoch && restored != of_copy);
    let memory = || Engine::open(EngineOptions::new(Data::Memory)).unwrap().epoch().to_owned();
    assert_ne!(memory(), memory());
}
