//! Every kind of statement as every role.

use crate::common::{caller, memory, run, run_as};
use kalam_embedded::engine::Role;

const ROLES: [Role; 4] = [Role::User, Role::Service, Role::Dba, Role::System];

/// The least role that may, and the statement. `{r}` is the role's name, so that each role has names of its own.
const STATEMENTS: &[(Role, &str)] = &[
    // For everybody
    (Role::User, "SELECT 1"),
    (Role::User, "VALUES (1)"),
    (Role::User, "WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION SELECT 2"),
    (Role::User, "BEGIN; COMMIT"),
    (Role::User, "BEGIN; ROLLBACK"),
    (Role::User, "USE a"),
    (Role::User, "EXPLAIN SELECT * FROM a.mine"),
    (Role::User, "EXECUTE AS USER '{r}' (SELECT 1)"),
    (Role::User, "SELECT * FROM information_schema.tables"),
    (Role::User, "SELECT * FROM information_schema.columns"),
    (Role::User, "SELECT * FROM information_schema.schemata"),
    // One's own rows
    (Role::User, "INSERT INTO a.mine VALUES (1, 1)"),
    (Role::User, "INSERT INTO a.mine SELECT 2, 3 RETURNING id"),
    (Role::User, "UPDATE a.mine SET v = 2 WHERE id = (SELECT 1)"),
    (Role::User, "SELECT * FROM a.mine"),
    (Role::User, "DELETE FROM a.mine"),
    (Role::User, "INSERT INTO a.stream VALUES (1, 1)"),
    (Role::User, "SELECT * FROM a.stream"),
    (Role::User, "DELETE FROM a.stream"),
    (Role::User, "DESCRIBE a.mine"),
    (Role::User, "SHOW STATS FOR TABLE a.mine"),
    (Role::User, "SUBSCRIBE TO a.mine"),
    // Shared tables, by their level
    (Role::User, "SELECT * FROM a.public"),
    (Role::User, "SELECT * FROM a.mine m JOIN a.public p ON p.id = m.id"),
    (Role::User, "SUBSCRIBE TO a.public"),
    (Role::Service, "INSERT INTO a.public VALUES ({n}, 1)"),
    (Role::Service, "UPDATE a.public SET v = 2"),
    (Role::Service, "DELETE FROM a.public"),
    (Role::Service, "SELECT * FROM a.private"),
    (Role::Service, "SELECT * FROM a.restricted"),
    (Role::Service, "INSERT INTO a.private VALUES ({n}, 1)"),
    (Role::Service, "DELETE FROM a.restricted"),
    (Role::Service, "SELECT (SELECT max(v) FROM a.private) AS v"),
    (Role::Service, "SELECT * FROM a.mine WHERE id IN (SELECT id FROM a.private)"),
    (Role::Service, "SELECT m.id FROM a.mine m LEFT JOIN a.private p ON true"),
    (Role::Service, "WITH x AS (SELECT * FROM a.private) SELECT 1"),
    (Role::Service, "SELECT id FROM a.mine UNION SELECT id FROM a.private"),
    (Role::Service, "INSERT INTO a.mine SELECT id, v FROM a.private"),
    (Role::Service, "UPDATE a.mine SET v = (SELECT max(v) FROM a.private)"),
    (Role::Service, "DELETE FROM a.mine WHERE v IN (SELECT v FROM a.private)"),
    (Role::Service, "EXPLAIN SELECT * FROM a.private"),
    (Role::Service, "DESCRIBE a.private"),
    (Role::Service, "SHOW STATS FOR TABLE a.private"),
    (Role::Service, "SUBSCRIBE TO a.private"),
    (Role::Dba, "SELECT * FROM a.dba"),
    (Role::Dba, "INSERT INTO a.dba VALUES ({n}, 1)"),
    (Role::Dba, "UPDATE a.dba SET v = 2"),
    (Role::Dba, "DELETE FROM a.dba"),
    (Role::Dba, "SUBSCRIBE TO a.dba"),
    // Others
    (Role::Service, "EXECUTE AS USER 'target' (SELECT * FROM a.mine)"),
    (Role::Service, "EXECUTE AS 'target' (INSERT INTO a.mine VALUES ({n}, 1))"),
    (Role::Dba, "EXECUTE AS USER 'service2' (SELECT 1)"),
    (Role::System, "EXECUTE AS USER 'dba2' (SELECT 1)"),
    // Definitions
    (Role::Dba, "CREATE NAMESPACE n_{r}"),
    (Role::Dba, "CREATE NAMESPACE IF NOT EXISTS a"),
    (Role::Dba, "ALTER NAMESPACE n_{r} SET DESCRIPTION 'x'"),
    (Role::Dba, "CREATE TABLE n_{r}.t (id INT PRIMARY KEY)"),
    (Role::Dba, "CREATE USER TABLE n_{r}.u (id INT PRIMARY KEY)"),
    (Role::Dba, "CREATE TABLE n_{r}.s (id INT PRIMARY KEY) WITH (TYPE = 'STREAM', TTL_SECONDS = 5)"),
    (Role::Dba, "ALTER TABLE n_{r}.t ADD COLUMN c INT"),
    (Role::Dba, "ALTER TABLE n_{r}.t MODIFY COLUMN c BIGINT"),
    (Role::Dba, "ALTER TABLE n_{r}.t SET TBLPROPERTIES (ACCESS_LEVEL = 'DBA')"),
    (Role::Dba, "ALTER TABLE n_{r}.t DROP COLUMN c"),
    (Role::Dba, "DROP TABLE n_{r}.t"),
    (Role::Dba, "DROP TABLE IF EXISTS a.nothing"),
    (Role::Dba, "DROP NAMESPACE n_{r} CASCADE"),
    (Role::Dba, "DROP NAMESPACE IF EXISTS nothing"),
    // Topics
    (Role::Dba, "CREATE TOPIC IF NOT EXISTS a.topic"),
    (Role::Dba, "CREATE TOPIC a.t_{r} PARTITIONS 2"),
    (Role::Dba, "ALTER TOPIC a.t_{r} ADD SOURCE a.public ON INSERT"),
    (Role::Service, "CONSUME FROM a.topic GROUP 'g' LIMIT 1"),
    (Role::Dba, "CLEAR TOPIC a.t_{r}"),
    (Role::Dba, "DROP TOPIC a.t_{r}"),
    (Role::Dba, "SELECT * FROM system.topics"),
    (Role::Dba, "SELECT * FROM system.topic_offsets"),
    // Accounts
    (Role::Dba, "CREATE USER 'new_{r}' WITH PASSWORD 'long enough' ROLE user"),
    (Role::Dba, "ALTER USER 'new_{r}' SET PASSWORD 'other enough'"),
    (Role::Dba, "ALTER USER 'new_{r}' SET ROLE service"),
    (Role::Dba, "ALTER USER 'new_{r}' SET EMAIL 'a@b'"),
    (Role::Dba, "DROP USER 'new_{r}'"),
    (Role::Dba, "DROP USER IF EXISTS 'nobody'"),
    (Role::System, "CREATE USER 'sys_{r}' WITH PASSWORD 'long enough' ROLE system"),
    (Role::System, "ALTER USER 'system2' SET PASSWORD 'long enough'"),
    (Role::System, "ALTER USER 'target' SET ROLE system; ALTER USER 'target' SET ROLE user"),
    // The server
    (Role::Dba, "SHOW TABLES"),
    (Role::Dba, "SHOW TABLES IN a"),
    (Role::Dba, "SHOW NAMESPACES"),
    (Role::Dba, "SELECT * FROM system.users"),
    (Role::Dba, "SELECT * FROM system.namespaces"),
    (Role::Dba, "SELECT * FROM system.tables"),
    (Role::Dba, "SELECT * FROM system.columns"),
    (Role::Dba, "SELECT * FROM system.live"),
    (Role::Dba, "SELECT * FROM system.settings"),
    (Role::Dba, "SELECT * FROM system.stats"),
    (Role::Dba, "SELECT * FROM system.storages"),
    (Role::Dba, "SELECT * FROM system.cluster"),
    (Role::Dba, "SELECT * FROM system.jobs"),
    (Role::Dba, "SELECT id FROM a.mine WHERE EXISTS (SELECT 1 FROM system.users)"),
    (Role::Dba, "DELETE FROM a.mine WHERE id IN (SELECT 1 FROM system.users)"),
    (Role::Dba, "EXPLAIN SELECT * FROM system.users"),
    (Role::Dba, "DESCRIBE system.users"),
    (Role::Dba, "STORAGE FLUSH ALL"),
    (Role::Dba, "STORAGE COMPACT ALL"),
    (Role::Dba, "STORAGE CHECK"),
];

#[test]
fn every_statement_as_every_role() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE a;
         CREATE TABLE a.mine (id INT PRIMARY KEY, v INT) WITH (TYPE = 'USER');
         CREATE TABLE a.stream (id INT PRIMARY KEY, v INT) WITH (TYPE = 'STREAM', TTL_SECONDS = 3600);
         CREATE TABLE a.public (id INT PRIMARY KEY, v INT) WITH (ACCESS_LEVEL = 'PUBLIC');
         CREATE TABLE a.private (id INT PRIMARY KEY, v INT) WITH (ACCESS_LEVEL = 'PRIVATE');
         CREATE TABLE a.restricted (id INT PRIMARY KEY, v INT) WITH (ACCESS_LEVEL = 'RESTRICTED');
         CREATE TOPIC a.topic;
         CREATE TABLE a.dba (id INT PRIMARY KEY, v INT) WITH (ACCESS_LEVEL = 'DBA')",
    );
    for (user, role) in [
        ("user", "user"),
        ("service", "service"),
        ("dba", "dba"),
        ("system", "system"),
        ("target", "user"),
        ("service2", "service"),
        ("dba2", "dba"),
        ("system2", "system"),
    ] {
        run(&engine, &format!("CREATE USER '{user}' WITH PASSWORD 'long enough' ROLE {role}"));
    }
    let mut wrong = Vec::new();
    for (number, role) in ROLES.into_iter().enumerate() {
        for (least, statement) in STATEMENTS {
            let sql = statement.replace("{r}", role.name()).replace("{n}", &number.to_string());
            let answer = run_as(&engine, &caller(role.name(), role), &sql, vec![]);
            match (role >= *least, answer) {
                (true, Ok(_)) => {}
                // SUBSCRIBE TO answers as a subscription would, and topics have a code of their own.
                (false, Err(error))
                    if matches!(error.code, "PERMISSION_DENIED" | "UNAUTHORIZED" | "FORBIDDEN") => {}
                (true, Err(error)) => wrong.push(format!("{role} may not: {sql}: {error}")),
                (false, Err(error)) => {
                    wrong.push(format!("{role} is refused for another reason: {sql}: {error}"))
                }
                (false, Ok(_)) => wrong.push(format!("{role} may: {sql}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A dba is below system, whoever it is done to.
#[test]
fn nobody_raises_anybody_above_themselves() {
    let engine = memory();
    for (user, role) in [("dba", "dba"), ("dba2", "dba"), ("sys", "system"), ("low", "user")] {
        run(&engine, &format!("CREATE USER '{user}' WITH PASSWORD 'long enough' ROLE {role}"));
    }
    for sql in [
        "ALTER USER 'dba' SET ROLE system",
        "ALTER USER 'low' SET ROLE system",
        "ALTER USER 'sys' SET ROLE user",
        "ALTER USER 'sys' SET EMAIL 'a@b'",
        "DROP USER 'sys'",
        "DROP USER 'root'",
        "EXECUTE AS USER 'root' (SELECT 1)",
        "EXECUTE AS USER 'dba2' (SELECT 1)",
    ] {
        let refused = run_as(&engine, &caller("dba", Role::Dba), sql, vec![]).unwrap_err();
        assert_eq!(refused.code, "PERMISSION_DENIED", "{sql}: {refused}");
    }
}
