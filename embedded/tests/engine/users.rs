//! Accounts, roles, and that nobody reaches another's rows.

use crate::common::{Recorder, caller, error, memory, root, run, run_as};
use kalam_embedded::engine::{Caller, CredentialError, Data, Engine, EngineOptions, Role, Start};
use serde_json::json;

#[test]
fn root_and_passwords() {
    let engine = Engine::open(EngineOptions::new(Data::Memory)).unwrap();
    let password = engine.generated_root_password().unwrap().to_owned();
    assert!(password.len() >= 20);
    let info = engine.verify_password("root", &password).unwrap();
    assert_eq!((&*info.id, info.role), ("root", Role::System));
    for (user, password) in [("root", "wrong"), ("root", ""), ("nobody", password.as_str()), ("", "")] {
        assert_eq!(engine.verify_password(user, password), Err(CredentialError::Invalid), "{user}");
    }
    assert_eq!(memory().generated_root_password(), None);
    assert!(memory().verify_password("root", "secret").is_ok());
    assert!(
        !format!(
            "{:?}",
            EngineOptions { root_password: Some("hush".into()), ..EngineOptions::new(Data::Memory) }
        )
        .contains("hush")
    );
}

#[test]
fn life_of_an_account() {
    let engine = memory();
    run(&engine, "CREATE USER 'al' WITH PASSWORD 'one' ROLE user EMAIL 'al@example.org'");
    let first = engine.verify_password("al", "one").unwrap();
    assert_eq!((first.email.as_deref(), first.generation), (Some("al@example.org"), 1));
    run(&engine, "ALTER USER 'al' SET PASSWORD 'two'");
    assert!(engine.verify_password("al", "one").is_err());
    let second = engine.verify_password("al", "two").unwrap();
    assert!(second.generation > first.generation && second.updated_at >= first.updated_at);
    run(&engine, "ALTER USER 'al' SET ROLE dba; ALTER USER 'al' SET EMAIL 'x@y'");
    assert_eq!(engine.user("al").unwrap().role, Role::Dba);
    run(&engine, "DROP USER 'al'; DROP USER IF EXISTS 'al'");
    assert!(engine.user("al").is_none() && engine.verify_password("al", "two").is_err());
    run(&engine, "CREATE USER 'al' WITH PASSWORD 'two' ROLE user");
    assert!(engine.user("al").unwrap().generation > second.generation, "old tokens must stay void");
    for sql in [
        "DROP USER 'nobody'",
        "ALTER USER 'nobody' SET ROLE dba",
        "CREATE USER 'al' WITH PASSWORD 'x'",
        "CREATE USER '' WITH PASSWORD 'x'",
        "CREATE USER 'b' WITH PASSWORD ''",
        "CREATE USER 'b' WITH PASSWORD 'x' ROLE king",
        "CREATE USER 'b' WITH PASSWORD 'x' EMAIL 'none'",
        "DROP USER 'root'",
        "ALTER USER 'root' SET ROLE user",
    ] {
        assert!(!error(&engine, sql).message.contains("'x' ROLE"), "{sql}");
    }
}

#[test]
fn errors_never_show_a_password() {
    let engine = memory();
    run(&engine, "CREATE USER 'al' WITH PASSWORD 'hunter2' ROLE user");
    for sql in [
        "CREATE USER 'al' WITH PASSWORD 'hunter2' ROLE user",
        "CREATE USER 'bo' WITH PASSWORD hunter2",
        "CREATE USER 'bo' WITH PASSWORD 'x' hunter2",
        "CREATE USER 'bo' WITH PASSWORD 'x' 'hunter2'",
        "CREATE USER 'bo' WITH PASSWORD 'x' ROLE hunter2",
        "CREATE USER 'bo' PASSWORD 'hunter2' EMAIL 'no'",
        "ALTER USER 'nobody' SET PASSWORD 'hunter2'",
        "ALTER USER 'al' SET PASSWORD \"hunter2\"",
        "ALTER USER 'al' SET password 'x', 'hunter2'",
        "BEGIN; ALTER USER 'al' SET PASSWORD 'hunter2'; COMMIT",
    ] {
        let error = error(&engine, sql);
        assert!(!format!("{error:?}").contains("hunter2"), "{sql}: {error:?}");
    }
    let details = error(&engine, "ALTER USER 'nobody' SET PASSWORD 'hunter2'").details;
    assert_eq!(details.as_deref(), Some("ALTER USER 'nobody' SET PASSWORD '***' ..."));
}

#[test]
fn roles() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE USER 'd' WITH PASSWORD 'x' ROLE dba");
    run(&engine, "CREATE TABLE n.pub (id INT PRIMARY KEY) WITH (ACCESS_LEVEL='PUBLIC')");
    run(
        &engine,
        "CREATE TABLE n.priv (id INT PRIMARY KEY); CREATE TABLE n.dba (id INT PRIMARY KEY) WITH (ACCESS_LEVEL='DBA')",
    );
    run(&engine, "CREATE TABLE n.own (id INT PRIMARY KEY) WITH (TYPE='USER')");
    let (user, service, dba) = (caller("u", Role::User), caller("s", Role::Service), caller("d", Role::Dba));
    let allowed = |who: &Caller, sql: &str| match run_as(&engine, who, sql, vec![]) {
        Ok(_) => true,
        Err(e) if e.code == "PERMISSION_DENIED" && e.status == 403 => false,
        Err(e) => panic!("{sql}: {e}"),
    };
    for (sql, expected) in [
        ("SELECT 1", [true, true, true]),
        ("SELECT * FROM n.own", [true, true, true]),
        ("SELECT * FROM n.pub", [true, true, true]),
        ("DELETE FROM n.pub", [false, true, true]),
        ("SELECT * FROM n.priv", [false, true, true]),
        ("UPDATE n.priv SET id = id WHERE 1 = 2", [false, false, false]),
        ("DELETE FROM n.priv", [false, true, true]),
        ("SELECT * FROM n.dba", [false, false, true]),
        ("DESCRIBE n.priv", [false, true, true]),
        ("CREATE NAMESPACE IF NOT EXISTS x", [false, false, true]),
        ("CREATE TABLE IF NOT EXISTS n.x (id INT PRIMARY KEY)", [false, false, true]),
        ("DROP TABLE IF EXISTS n.x", [false, false, true]),
        ("DROP NAMESPACE IF EXISTS x", [false, false, true]),
        ("DROP USER IF EXISTS 'zz'", [false, false, true]),
        ("SELECT * FROM system.users", [false, false, true]),
        ("SHOW NAMESPACES", [false, false, true]),
    ] {
        if sql.starts_with("UPDATE") {
            continue; // the key can not be updated by anybody
        }
        let got = [&user, &service, &dba].map(|who| allowed(who, sql));
        assert_eq!(got, expected, "{sql}");
    }
    // Nobody reaches above their own rank.
    for sql in [
        "CREATE USER 'z' WITH PASSWORD 'x' ROLE system",
        "ALTER USER 'root' SET PASSWORD 'x'",
        "ALTER USER 'd' SET ROLE system",
        "DROP USER 'root'",
        "EXECUTE AS USER 'root' (SELECT * FROM n.own)",
    ] {
        assert!(!allowed(&dba, sql), "{sql}");
    }
    assert!(engine.verify_password("root", "secret").is_ok());
}

#[test]
fn users_do_not_meet_in_user_tables() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='USER')");
    run(&engine, "CREATE USER 'alice' WITH PASSWORD 'x'; CREATE USER 'bob' WITH PASSWORD 'x'");
    let (alice, bob) = (caller("alice", Role::User), caller("bob", Role::User));
    let go = |who: &Caller, sql: &str| run_as(&engine, who, sql, vec![]).unwrap().pop().unwrap();
    go(&alice, "INSERT INTO n.t VALUES (1, 'a'), (2, 'a')");
    // The same key is free for another owner.
    go(&bob, "INSERT INTO n.t VALUES (1, 'b')");
    for (who, expected) in
        [(&alice, json!([[1, "a"], [2, "a"]])), (&bob, json!([[1, "b"]])), (&root(), json!([]))]
    {
        for sql in [
            "SELECT id, v FROM n.t ORDER BY id",
            "SELECT id, v FROM n.t WHERE true OR v = 'x' ORDER BY id",
            "SELECT id, v FROM n.t WHERE _deleted = false OR _deleted = true ORDER BY id",
            "SELECT id, max(v) AS v FROM n.t GROUP BY id HAVING true ORDER BY id",
        ] {
            assert_eq!(json!(go(who, sql).rows), expected, "{}: {sql}", who.user);
        }
    }
    let recorder = Recorder::install(&engine);
    let (of_alice, of_bob) = (
        engine.prepare_live(&alice, "SELECT * FROM n.t WHERE id > 0 OR true").unwrap(),
        engine.prepare_live(&bob, "SELECT * FROM n.t").unwrap(),
    );
    assert_eq!((of_alice.user(), of_bob.user()), (Some("alice"), Some("bob")));
    assert_eq!(go(&bob, "UPDATE n.t SET v = 'B' WHERE true").row_count, 1);
    assert_eq!(go(&bob, "DELETE FROM n.t WHERE id = 2 OR true").row_count, 1);
    let changes = recorder.take();
    assert_eq!(changes.len(), 2);
    for change in &changes {
        assert_eq!(of_alice.evaluate(change).unwrap(), None);
        assert!(of_bob.evaluate(change).unwrap().is_some());
    }
    for start in [Start::Snapshot { last_rows: None }, Start::Snapshot { last_rows: Some(9) }, Start::From(0)]
    {
        let (seen, ()) = engine.start_live(&of_alice, start, || ()).unwrap();
        let fields: Vec<_> = seen
            .rows
            .iter()
            .map(|r| &r.fields)
            .chain(seen.replay.iter().filter_map(|c| c.row.as_ref()))
            .collect();
        assert_eq!(fields.len(), 2, "{start:?}");
        assert!(fields.iter().all(|f| json!(f)["v"] == "a"), "{start:?}");
    }
    assert_eq!(json!(go(&alice, "SELECT v FROM n.t").rows), json!([["a"], ["a"]]));
    // Recorded: tables.
    let refused = run_as(&engine, &alice, "EXECUTE AS USER 'bob' (SELECT * FROM n.t)", vec![]).unwrap_err();
    assert_eq!(
        refused.message,
        "Unauthorized: EXECUTE AS USER is not authorized: actor 'alice' with role User cannot target 'bob' with role User"
    );
    let as_bob = go(&root(), "EXECUTE AS USER 'bob' (INSERT INTO n.t VALUES (7, 'r'))");
    assert_eq!(&*as_bob.as_user, "bob");
    assert_eq!(json!(go(&bob, "SELECT id FROM n.t").rows), json!([[7]]));
}
