//! The SQL tool, the same facts on SQLite and on PostgreSQL.

use crate::support::{
    LIMIT, before, call, committed, context, gateway, plan_one, postgres_url, ready, result, run,
    scope, unknown,
};
use domain::ports::tools::Tools;
use domain::run::Verdict;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use tools::Gateway;
use url::Url;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// A database of its own, gone with the value.
struct Db {
    kind: Kind,
    folder: TempDir,
    name: String,
}

const SCHEMA: &str = "
CREATE TABLE models (id TEXT PRIMARY KEY, name TEXT NOT NULL, size_mb INTEGER CHECK (size_mb > 0), score DOUBLE PRECISION, note TEXT);
CREATE TABLE log (at INTEGER, what TEXT NOT NULL);
INSERT INTO models VALUES ('m1', 'qwen2.5:7b', 4683, 0.5, NULL), ('m2', 'phi-4-mini', 2490, 1.25, 'it''s small');
";

impl Db {
    async fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let db = Self {
            kind,
            folder: TempDir::new().unwrap(),
            name: format!("runyard_tools_{}_{number}", std::process::id()),
        };
        match kind {
            Kind::Sqlite => db.sqlite().execute_batch(SCHEMA).unwrap(),
            Kind::Postgres => {
                let admin = connect(&postgres_url()).await;
                admin
                    .batch_execute(&format!("CREATE DATABASE {}", db.name))
                    .await
                    .unwrap();
                connect(&db.url())
                    .await
                    .batch_execute(SCHEMA)
                    .await
                    .unwrap();
            }
        }
        db
    }

    fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("x.db")).unwrap()
    }

    fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => "x.db".to_owned(),
            Kind::Postgres => {
                let url = postgres_url();
                let at = url.rfind('/').unwrap();
                format!("{}/{}", &url[..at], self.name)
            }
        }
    }

    fn gateway(&self, tools: &str) -> Gateway {
        let url = self.url();
        let toml = format!(
            "[databases.r]\nurl = {url:?}\n[databases.w]\nurl = {url:?}\nread_only = false\n{tools}"
        );
        gateway(&toml, self.folder.path())
    }

    async fn execute(&self, sql: &str) {
        match self.kind {
            Kind::Sqlite => self.sqlite().execute_batch(sql).unwrap(),
            Kind::Postgres => connect(&self.url()).await.batch_execute(sql).await.unwrap(),
        }
    }

    /// One number, read past the gateway.
    async fn count(&self, sql: &str) -> i64 {
        match self.kind {
            Kind::Sqlite => self.sqlite().query_row(sql, [], |row| row.get(0)).unwrap(),
            Kind::Postgres => connect(&self.url())
                .await
                .query_one(sql, &[])
                .await
                .unwrap()
                .get(0),
        }
    }
}

impl Drop for Db {
    /// Also when the test fails, and from within its runtime.
    fn drop(&mut self) {
        if self.kind == Kind::Sqlite {
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                connect(&postgres_url())
                    .await
                    .batch_execute(&sql)
                    .await
                    .unwrap();
            });
        });
        dropping.join().unwrap();
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|error| {
            panic!("PostgreSQL is needed at {url} ({error}); `cargo xtask services` starts it")
        });
    tokio::spawn(connection);
    client
}

/// Runs a fact on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Kind::Sqlite).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Kind::Postgres).await;
            })*
        }
    };
}

on_both! {
    rows_come_as_objects
    arguments_are_bound_and_never_read_as_sql
    every_kind_of_argument_is_bound
    reserved_values_come_from_the_call
    reading_tools_cannot_write
    rows_are_capped
    one_row_is_told_alone
    keyed_writes_happen_once
    old_calls_are_forgotten_and_young_ones_are_not
    keyed_writes_happen_once_when_they_race
    a_keyed_write_that_failed_may_be_tried_again
    several_statements_are_one_transaction
    refusals_of_the_data_are_told
    slow_statements_are_stopped
    abandoned_statements_are_stopped
}

async fn rows_come_as_objects(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(
        "[tools.list]\nkind = \"sql\"\ndatabase = \"r\"\nsql = \"SELECT id, name, size_mb, score, note FROM models ORDER BY id\"",
    );
    assert_eq!(
        result(&gateway, "list", json!({})).await,
        json!({"row_count": 2, "rows": [
            {"id": "m1", "name": "qwen2.5:7b", "size_mb": 4683, "score": 0.5, "note": null},
            {"id": "m2", "name": "phi-4-mini", "size_mb": 2490, "score": 1.25, "note": "it's small"}
        ]})
    );
}

const FIND: &str = r#"
[tools.find]
kind = "sql"
database = "w"
writes = true
effect = "idempotent"
sql = "SELECT id, :id AS asked FROM models WHERE id = :id"
input_schema = {type = "object", required = ["id"], properties = {id = {type = "string"}}}
"#;

async fn arguments_are_bound_and_never_read_as_sql(kind: Kind) {
    let db = Db::new(kind).await;
    let cast = if kind == Kind::Postgres {
        ":id::text AS"
    } else {
        ":id AS"
    };
    let gateway = db.gateway(&FIND.replace(":id AS", cast));
    for attempt in [
        "m1' OR '1'='1",
        "'; DROP TABLE models; --",
        "m1'; INSERT INTO log VALUES (1, 'x'); SELECT '",
        "\" OR \"\"=\"",
        "\\'; DELETE FROM models; --",
        "m1 UNION SELECT name, note FROM models",
        "$1",
        ":id",
        "%",
        "m1\u{2019} OR 1=1",
        "0x6d31",
        "/*",
        "--",
    ] {
        let found = result(&gateway, "find", json!({"id": attempt})).await;
        assert_eq!(found["rows"], json!([]), "{attempt}");
    }
    let found = result(&gateway, "find", json!({"id": "m1"})).await;
    assert_eq!(found["rows"], json!([{"id": "m1", "asked": "m1"}]));
    assert_eq!(db.count("SELECT count(*) FROM models").await, 2);
    assert_eq!(db.count("SELECT count(*) FROM log").await, 0);
}

async fn every_kind_of_argument_is_bound(kind: Kind) {
    let db = Db::new(kind).await;
    let sql = match kind {
        Kind::Sqlite => {
            "SELECT :t AS t, :i AS i, :r AS r, :b AS b, :l AS l, :o AS o, :n IS NULL AS n, :m IS NULL AS m"
        }
        Kind::Postgres => {
            "SELECT :t::text AS t, :i::bigint AS i, :r::float8 AS r, :b::bool AS b, :l::jsonb AS l, :o::jsonb AS o, (:n::text IS NULL) AS n, (:m::text IS NULL) AS m"
        }
    };
    let gateway = db.gateway(&format!(
        "[tools.echo]\nkind = \"sql\"\ndatabase = \"r\"\nreturns = \"row\"\nsql = {sql:?}\ninput_schema = {{type = \"object\", properties = {{t = {{}}, i = {{}}, r = {{}}, b = {{}}, l = {{}}, o = {{}}, n = {{}}, m = {{}}}}}}"
    ));
    let told = result(
        &gateway,
        "echo",
        json!({"t": "ä'\"\\ 😀", "i": 9_007_199_254_740_993_i64, "r": -0.1, "b": true, "l": [1, "a", null], "o": {"k": [true]}, "n": null}),
    )
    .await;
    let expected = match kind {
        Kind::Sqlite => {
            json!({"t": "ä'\"\\ 😀", "i": 9_007_199_254_740_993_i64, "r": -0.1, "b": 1, "l": "[1,\"a\",null]", "o": "{\"k\":[true]}", "n": 1, "m": 1})
        }
        Kind::Postgres => {
            json!({"t": "ä'\"\\ 😀", "i": 9_007_199_254_740_993_i64, "r": -0.1, "b": true, "l": [1, "a", null], "o": {"k": [true]}, "n": true, "m": true})
        }
    };
    assert_eq!(told, expected);
}

async fn reserved_values_come_from_the_call(kind: Kind) {
    let db = Db::new(kind).await;
    let cast = if kind == Kind::Postgres { "::text" } else { "" };
    let gateway = db.gateway(&format!(
        "[tools.who]\nkind = \"sql\"\ndatabase = \"r\"\nreturns = \"row\"\nsql = \"SELECT :runyard_org{cast} AS org, :runyard_run_id{cast} AS run, :runyard_call_key{cast} AS call_key\""
    ));
    let (context, call) = ready(&gateway, "who", json!({"runyard_org": "other"})).await;
    let (told, _) = committed(gateway.execute(&scope(), &context, &call, LIMIT).await);
    assert_eq!(
        told["result"],
        json!({"org": "acme", "run": context.run_id.to_string(), "call_key": call.key.as_str()})
    );
}

async fn reading_tools_cannot_write(kind: Kind) {
    let db = Db::new(kind).await;
    match kind {
        // Both are found out before the server starts; `config.rs` has the messages.
        Kind::Sqlite => {}
        Kind::Postgres => {
            // A function may hide a write, so only the database itself can tell.
            connect(&db.url())
                .await
                .batch_execute("CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (1, ''x'') RETURNING 1'")
                .await
                .unwrap();
            for (database, sql) in [
                ("r", "INSERT INTO log VALUES (1, 'x')"),
                ("w", "INSERT INTO log VALUES (1, 'x')"),
                ("r", "SELECT sneak()"),
                (
                    "w",
                    "WITH x AS (DELETE FROM models RETURNING id) SELECT * FROM x",
                ),
                (
                    "w",
                    "SELECT set_config('transaction_read_only', 'off', true)",
                ),
            ] {
                let gateway = db.gateway(&format!(
                    "[tools.sneak]\nkind = \"sql\"\ndatabase = {database:?}\nsql = [{sql:?}, \"INSERT INTO log VALUES (2, 'y')\"]"
                ));
                let told = before(run(&gateway, "sneak", json!({})).await);
                assert_eq!(
                    told, "the database refused the call; nothing was changed",
                    "{sql}"
                );
            }
        }
    }
    assert_eq!(db.count("SELECT count(*) FROM log").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM models").await, 2);
}

async fn rows_are_capped(kind: Kind) {
    let db = Db::new(kind).await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT i FROM n";
    let gateway = db.gateway(&format!(
        "[tools.few]\nkind = \"sql\"\ndatabase = \"r\"\nmax_rows = 3\nsql = {sql:?}\n[tools.small]\nkind = \"sql\"\ndatabase = \"r\"\nmax_rows = 10000\nmax_result_bytes = 1000\nsql = {sql:?}"
    ));
    let told = result(&gateway, "few", json!({})).await;
    assert_eq!(told["rows"], json!([{"i": 1}, {"i": 2}, {"i": 3}]));
    assert_eq!(
        told["truncated"],
        "there are more rows; these are the first 3"
    );
    let told = result(&gateway, "small", json!({})).await;
    assert!(
        told.to_string().len() <= 1_000,
        "{}",
        told.to_string().len()
    );
    let rows = told["rows"].as_array().unwrap().len();
    assert!(rows > 50, "{rows}");
    assert!(
        told["truncated"]
            .as_str()
            .unwrap()
            .ends_with(&format!("first {rows}"))
    );
}

async fn one_row_is_told_alone(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(
        "[tools.get]\nkind = \"sql\"\ndatabase = \"r\"\nreturns = \"row\"\nsql = \"SELECT id, name FROM models WHERE id = :id\"\ninput_schema = {type = \"object\", required = [\"id\"], properties = {id = {type = \"string\"}}}",
    );
    assert_eq!(
        result(&gateway, "get", json!({"id": "m2"})).await,
        json!({"id": "m2", "name": "phi-4-mini"})
    );
    let (told, is_error) = committed(run(&gateway, "get", json!({"id": "m9"})).await);
    assert!(is_error);
    assert_eq!(
        told,
        json!({"tool": "get", "error": {"message": "nothing found"}})
    );
}

const ADD: &str = r#"
[tools.add]
kind = "sql"
database = "w"
writes = true
effect = "keyed"
sql = "INSERT INTO log (at, what) VALUES (:at, :what) RETURNING what"
input_schema = {type = "object", required = ["what"], properties = {what = {type = "string"}, at = {type = "integer"}}}
"#;

async fn keyed_writes_happen_once(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(ADD);
    let (context, first) = ready(&gateway, "add", json!({"what": "a"})).await;
    let told = committed(gateway.execute(&scope(), &context, &first, LIMIT).await);
    assert_eq!(
        told.0["result"],
        json!({"row_count": 1, "rows": [{"what": "a"}], "changed": 1})
    );
    // Another attempt, also of another process after a crash, finds what was recorded.
    for gateway in [&gateway, &db.gateway(ADD)] {
        let mut again = first.clone();
        again.attempt += 1;
        let repeated = committed(gateway.execute(&scope(), &context, &again, LIMIT).await);
        assert_eq!(repeated, told);
    }
    assert_eq!(db.count("SELECT count(*) FROM log").await, 1);
    // The same arguments in another call are another call.
    let (_, second) = ready(&gateway, "add", json!({"what": "a"})).await;
    committed(gateway.execute(&scope(), &context, &second, LIMIT).await);
    assert_eq!(db.count("SELECT count(*) FROM log").await, 2);
    assert_eq!(
        db.count("SELECT count(*) FROM runyard_call_ledger").await,
        2
    );
}

async fn old_calls_are_forgotten_and_young_ones_are_not(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(ADD);
    let (context, call) = ready(&gateway, "add", json!({"what": "a"})).await;
    // Before the first call there may be no ledger yet.
    assert_eq!(gateway.forget_calls(LIMIT).await, 0);
    committed(gateway.execute(&scope(), &context, &call, LIMIT).await);
    let hour = Duration::from_secs(3600);
    assert_eq!(gateway.forget_calls(hour).await, 0);
    let age = match kind {
        Kind::Sqlite => "UPDATE runyard_call_ledger SET recorded_at = datetime('now', '-2 hours')",
        Kind::Postgres => {
            "UPDATE runyard_call_ledger SET recorded_at = localtimestamp - interval '2 hours'"
        }
    };
    db.execute(age).await;
    // Another tool's record in the same table is that tool's.
    let others = db.gateway(&ADD.replace("tools.add", "tools.other"));
    assert_eq!(others.forget_calls(hour).await, 0);
    assert_eq!(gateway.forget_calls(3 * hour).await, 0);
    assert_eq!(gateway.forget_calls(hour).await, 1);
    assert_eq!(
        db.count("SELECT count(*) FROM runyard_call_ledger").await,
        0
    );
}

async fn keyed_writes_happen_once_when_they_race(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = Arc::new(db.gateway(ADD));
    let (context, call) = ready(&gateway, "add", json!({"what": "a"})).await;
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let (gateway, context, call) = (Arc::clone(&gateway), context.clone(), call.clone());
            tokio::spawn(async move { gateway.execute(&scope(), &context, &call, LIMIT).await })
        })
        .collect();
    let mut told = Vec::new();
    for task in racing {
        told.push(committed(task.await.unwrap()));
    }
    assert!(told.iter().all(|each| *each == told[0]), "{told:?}");
    assert_eq!(db.count("SELECT count(*) FROM log").await, 1);
}

async fn a_keyed_write_that_failed_may_be_tried_again(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(
        "[tools.add]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\neffect = \"keyed\"\nsql = \"INSERT INTO models (id, name, size_mb) VALUES (:id, 'x', 1)\"\ninput_schema = {type = \"object\", properties = {id = {type = \"string\"}}}",
    );
    let (context, call) = ready(&gateway, "add", json!({"id": "m1"})).await;
    before(gateway.execute(&scope(), &context, &call, LIMIT).await);
    assert_eq!(
        db.count("SELECT count(*) FROM runyard_call_ledger").await,
        0
    );
    let free = "UPDATE models SET id = 'm0' WHERE id = 'm1'";
    db.execute(free).await;
    let (told, _) = committed(gateway.execute(&scope(), &context, &call, LIMIT).await);
    assert_eq!(told["result"], json!({"changed": 1}));
}

async fn several_statements_are_one_transaction(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(
        "[tools.both]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\neffect = \"keyed\"\nsql = [\"INSERT INTO log VALUES (1, :what)\", \"UPDATE models SET size_mb = :size WHERE id = 'm1' RETURNING size_mb\"]\ninput_schema = {type = \"object\", properties = {what = {type = \"string\"}, size = {type = \"integer\"}}}",
    );
    let told = before(run(&gateway, "both", json!({"what": "a", "size": 0})).await);
    assert!(told.contains("nothing was changed"), "{told}");
    assert_eq!(db.count("SELECT count(*) FROM log").await, 0);
    let told = result(&gateway, "both", json!({"what": "a", "size": 7})).await;
    assert_eq!(
        told,
        json!({"row_count": 1, "rows": [{"size_mb": 7}], "changed": 2})
    );
    assert_eq!(db.count("SELECT count(*) FROM log").await, 1);
}

async fn refusals_of_the_data_are_told(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(
        "[tools.add]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\nsql = \"INSERT INTO models (id, name, size_mb) VALUES (:id, :name, :size)\"\ninput_schema = {type = \"object\", properties = {id = {}, name = {}, size = {}}}",
    );
    for (arguments, postgres, sqlite) in [
        (
            json!({"id": "m1", "name": "x", "size": 1}),
            "models_pkey",
            "models.id",
        ),
        (
            json!({"id": "m3", "name": null, "size": 1}),
            "null value",
            "models.name",
        ),
        (
            json!({"id": "m3", "name": "x", "size": 0}),
            "check constraint",
            "size_mb",
        ),
    ] {
        let told = before(run(&gateway, "add", arguments).await);
        let expected = if kind == Kind::Sqlite {
            sqlite
        } else {
            postgres
        };
        assert!(
            told.contains(expected) && told.contains("nothing was changed"),
            "{told}"
        );
    }
    assert_eq!(db.count("SELECT count(*) FROM models").await, 2);
}

fn endless(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"
        }
        Kind::Postgres => "SELECT count(*) AS c FROM generate_series(1, 1000000000000)",
    }
}

async fn slow_statements_are_stopped(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = db.gateway(&format!(
        "[tools.read]\nkind = \"sql\"\ndatabase = \"r\"\ntimeout_s = 0.3\nsql = {0:?}\n[tools.write]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\neffect = \"keyed\"\ntimeout_s = 0.3\nsql = [\"INSERT INTO log VALUES (1, 'x')\", {0:?}]",
        endless(kind)
    ));
    let begun = Instant::now();
    for tool in ["read", "write", "read"] {
        let told = before(run(&gateway, tool, json!({})).await);
        assert!(
            told.contains("did not finish within 0.3 s; nothing was changed"),
            "{told}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(db.count("SELECT count(*) FROM log").await, 0);
}

async fn abandoned_statements_are_stopped(kind: Kind) {
    let db = Db::new(kind).await;
    let gateway = Arc::new(db.gateway(&format!(
        "[tools.write]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\nsql = [\"INSERT INTO log VALUES (1, 'x')\", {:?}]\n[tools.next]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\nsql = \"INSERT INTO log VALUES (2, 'y')\"",
        endless(kind)
    )));
    let (context, slow) = ready(&gateway, "write", json!({})).await;
    let running = {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.execute(&scope(), &context, &slow, LIMIT).await })
    };
    // Until it is inside the database.
    while !is_writing(&db).await {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    // SQLite has one writer: this one gets its turn only if the other was stopped.
    let told = result(&gateway, "next", json!({})).await;
    assert_eq!(told, json!({"changed": 1}));
    assert_eq!(db.count("SELECT count(*) FROM log").await, 1);
    if kind == Kind::Postgres {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 1000000000000)%' AND state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()";
        let begun = Instant::now();
        while db.count(running).await > 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the statement goes on"
            );
        }
    }
}

/// Whether somebody holds the write lock, or runs the slow statement.
async fn is_writing(db: &Db) -> bool {
    match db.kind {
        Kind::Sqlite => db
            .sqlite()
            .execute_batch("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK")
            .is_err(),
        Kind::Postgres => {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()";
            db.count(sql).await > 0
        }
    }
}

#[tokio::test]
async fn postgres_types_come_as_json() {
    let db = Db::new(Kind::Postgres).await;
    let sql = "SELECT 1::int2 AS a, 2::int4 AS b, 3::int8 AS c, 1.5::float4 AS d, 'NaN'::float8 AS e,
        12345.6789::numeric AS f, -0.000012::numeric AS g, 100000000::numeric AS h, 123456789012345678901234567890::numeric AS i,
        0.30000000000000000001::numeric AS j, 'NaN'::numeric AS k, 1.50::numeric AS l,
        '{\"x\":[1]}'::json AS m, '[2]'::jsonb AS n, '018f3e1a-0000-7000-8000-000000000001'::uuid AS o,
        '2026-11-23T10:00:00.5+02'::timestamptz AS p, '2026-11-23T10:00:00'::timestamp AS q, '2026-11-23'::date AS r, '10:00:01'::time AS s,
        ARRAY[1,NULL,3] AS t, ARRAY['a','b'] AS u, '\\x00ff'::bytea AS v, 'x'::char(3) AS w, 'n'::name AS x, NULL::int AS y, true AS z";
    let gateway = db.gateway(&format!(
        "[tools.types]\nkind = \"sql\"\ndatabase = \"r\"\nreturns = \"row\"\nsql = '''{sql}'''"
    ));
    assert_eq!(
        result(&gateway, "types", json!({})).await,
        json!({
            "a": 1, "b": 2, "c": 3, "d": 1.5, "e": null, "f": 12345.6789, "g": -0.000_012, "h": 100_000_000,
            "i": "123456789012345678901234567890", "j": "0.30000000000000000001", "k": "NaN", "l": 1.5,
            "m": {"x": [1]}, "n": [2], "o": "018f3e1a-0000-7000-8000-000000000001",
            "p": "2026-11-23T08:00:00.500Z", "q": "2026-11-23T10:00:00", "r": "2026-11-23", "s": "10:00:01",
            "t": [1, null, 3], "u": ["a", "b"], "v": "00ff", "w": "x  ", "x": "n", "y": null, "z": true
        })
    );
}

#[tokio::test]
async fn an_unreachable_postgres_is_told_before_any_effect() {
    let folder = TempDir::new().unwrap();
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gateway = gateway(
        &format!(
            "[databases.w]\nurl = \"postgres://u:s3cret-canary@127.0.0.1:{port}/x\"\nread_only = false\n[tools.t]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\nsql = \"INSERT INTO x VALUES (1)\""
        ),
        folder.path(),
    );
    let told = before(run(&gateway, "t", json!({})).await);
    assert_eq!(told, "the database cannot be reached; nothing was changed");
}

#[tokio::test]
async fn sqlite_waits_for_another_writer_and_then_gives_up() {
    let db = Db::new(Kind::Sqlite).await;
    let gateway = db.gateway(
        "[tools.t]\nkind = \"sql\"\ndatabase = \"w\"\nwrites = true\ntimeout_s = 0.3\nsql = \"INSERT INTO log VALUES (1, 'x')\"",
    );
    let other = db.sqlite();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = before(run(&gateway, "t", json!({})).await);
    assert!(told.contains("did not finish"), "{told}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        result(&gateway, "t", json!({})).await,
        json!({"changed": 1})
    );
}

#[tokio::test]
async fn a_sqlite_file_that_is_read_only_stays_as_it_is() {
    let db = Db::new(Kind::Sqlite).await;
    let bytes = std::fs::read(db.folder.path().join("x.db")).unwrap();
    let gateway = db.gateway(
        "[tools.list]\nkind = \"sql\"\ndatabase = \"r\"\nsql = \"SELECT count(*) AS n FROM models\"",
    );
    assert_eq!(result(&gateway, "list", json!({})).await["rows"][0]["n"], 2);
    drop(gateway);
    assert_eq!(bytes, std::fs::read(db.folder.path().join("x.db")).unwrap());
}

#[tokio::test]
async fn many_calls_share_few_connections() {
    let db = Db::new(Kind::Sqlite).await;
    let gateway = Arc::new(db.gateway(&format!("{ADD}\n[tools.list]\nkind = \"sql\"\ndatabase = \"r\"\neffect = \"idempotent\"\nsql = \"SELECT count(*) AS n FROM models\"")));
    let context = context(crate::support::agent(&["list", "add"]));
    let mut tasks = Vec::new();
    for n in 0..200 {
        let (gateway, context) = (Arc::clone(&gateway), context.clone());
        tasks.push(tokio::spawn(async move {
            let (tool, arguments) = if n % 4 == 0 {
                ("add", r#"{"what":"x"}"#)
            } else {
                ("list", "{}")
            };
            let planned = plan_one(&gateway, &context, tool, arguments).await;
            assert_eq!(planned.verdict, Verdict::Run);
            committed(
                gateway
                    .execute(
                        &scope(),
                        &context,
                        &call(&scope(), context.run_id, planned),
                        LIMIT,
                    )
                    .await,
            )
        }));
    }
    for task in tasks {
        let (told, is_error): (Value, bool) = task.await.unwrap();
        assert!(!is_error, "{told}");
    }
    assert_eq!(db.count("SELECT count(*) FROM log").await, 50);
}

/// Passes everything on to PostgreSQL, but answers so many commits with silence: the server gets them, the client
/// loses its connection.
async fn cutting_commits(cuts: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let left = Arc::new(AtomicUsize::new(cuts));
    let server = Url::parse(&postgres_url()).unwrap();
    let server = (
        server.host_str().unwrap().to_owned(),
        server.port().unwrap_or(5432),
    );
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server.clone()).await.unwrap();
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let answers =
                    tokio::spawn(
                        async move { tokio::io::copy(&mut from_server, &mut to_client).await },
                    );
                let mut chunk = vec![0; 1 << 16];
                while let Ok(bytes @ 1..) = from_client.read(&mut chunk).await {
                    let is_commit = chunk[..bytes].windows(6).any(|word| word == b"COMMIT");
                    let cut = |left: usize| left.checked_sub(1);
                    if is_commit && left.fetch_update(SeqCst, SeqCst, cut).is_ok() {
                        // The answers end first, so that the client hears nothing of the commit.
                        answers.abort();
                        let _ = answers.await;
                        to_server.write_all(&chunk[..bytes]).await.unwrap();
                        return;
                    }
                    if to_server.write_all(&chunk[..bytes]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown_unless_the_ledger_tells() {
    let db = Db::new(Kind::Postgres).await;
    let tool = |port: u16, effect: &str| {
        let mut url = Url::parse(&db.url()).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        let toml = ADD.replace("effect = \"keyed\"", &format!("effect = {effect:?}"));
        gateway(
            &format!("[databases.w]\nurl = \"{url}\"\nread_only = false\n{toml}"),
            db.folder.path(),
        )
    };
    let unsure = tool(cutting_commits(1).await, "unsafe");
    let evidence = unknown(run(&unsure, "add", json!({"what": "a"})).await);
    assert!(evidence.contains("asked to commit"), "{evidence}");
    let sure = tool(cutting_commits(1).await, "keyed");
    let told = result(&sure, "add", json!({"what": "b"})).await;
    assert_eq!(told["rows"], json!([{"what": "b"}]));
    assert_eq!(
        db.count("SELECT count(*) FROM log WHERE what = 'b'").await,
        1
    );
    let never = tool(cutting_commits(usize::MAX).await, "keyed");
    unknown(run(&never, "add", json!({"what": "c"})).await);
    assert_eq!(
        db.count("SELECT count(*) FROM log WHERE what = 'c'").await,
        1
    );
}
