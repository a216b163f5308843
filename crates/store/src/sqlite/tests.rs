//! Every statement is one that the schema knows, and finds its rows by an index.

use super::usage;
use super::workers;
use super::{
    SqliteSettings, agents, approvals, audit, budgets, claims, commit, create, gates, grants, holds,
};
use super::{
    idempotency, keys, late, log, logins, outbox, pins, results, retention, runs, sessions, threads,
};
use rusqlite::Connection;
use tempfile::TempDir;

async fn empty() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runyard.db");
    let store = super::open(&path, SqliteSettings::default()).await.unwrap();
    store.close().await;
    let db = Connection::open(&path).unwrap();
    (folder, db)
}

fn statements() -> Vec<&'static str> {
    let all = [
        super::STATEMENTS,
        agents::STATEMENTS,
        approvals::STATEMENTS,
        audit::STATEMENTS,
        budgets::STATEMENTS,
        claims::STATEMENTS,
        commit::STATEMENTS,
        create::STATEMENTS,
        gates::STATEMENTS,
        grants::STATEMENTS,
        holds::STATEMENTS,
        idempotency::STATEMENTS,
        keys::STATEMENTS,
        late::STATEMENTS,
        logins::STATEMENTS,
        log::STATEMENTS,
        outbox::STATEMENTS,
        pins::STATEMENTS,
        results::STATEMENTS,
        retention::STATEMENTS,
        runs::STATEMENTS,
        sessions::STATEMENTS,
        threads::STATEMENTS,
        usage::STATEMENTS,
        workers::STATEMENTS,
    ];
    let all = all.concat();
    assert!(all.len() > 50, "the lists were not found: {}", all.len());
    all
}

#[tokio::test]
async fn every_statement_prepares() {
    let (_folder, db) = empty().await;
    for sql in statements() {
        if let Err(error) = db.prepare(sql) {
            panic!("{error}\n{sql}");
        }
    }
}

/// Small tables may be read whole; whatever grows with use may not.
#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let (_folder, db) = empty().await;
    for sql in statements() {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![None::<i64>; statement.parameter_count()];
        let plan = statement
            .query_map(rusqlite::params_from_iter(nulls), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        for line in plan.map(Result::unwrap) {
            let whole = line.starts_with("SCAN ") && !line.contains("USING");
            let small = ["workers", "orgs", "health", "(subquery", "CONSTANT"];
            let allowed = small.iter().any(|name| line.contains(name));
            assert!(!whole || allowed, "{line}\n{sql}");
        }
    }
}
