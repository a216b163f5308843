//! Every statement is one that the schema knows, and the schema can grow.

use super::open::migrate;
use super::{
    agents, approvals, audit, budgets, claims, gates, grants, holds, hot, idempotency, keys, late,
    logins, outbox,
};
use super::{pins, results, retention, runs, sessions, threads, usage, workers};
use crate::OpenError;
use crate::migrations::{Migration, POSTGRES};
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use tokio_postgres::{Client, Config, NoTls};

const DEFAULT: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// A connection with a schema of its own in front, dropped afterwards.
async fn in_schema<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Client) -> F) {
    let address = std::env::var("RUNYARD_TEST_POSTGRES").unwrap_or_else(|_| DEFAULT.to_owned());
    let schema = format!("runyard_{name}_{}", std::process::id());
    let admin = connect(&address, None).await;
    let create = format!("CREATE SCHEMA {schema}");
    admin.batch_execute(&create).await.unwrap();
    let client = connect(&address, Some(&schema)).await;
    let outcome = futures::FutureExt::catch_unwind(AssertUnwindSafe(test(client))).await;
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    admin.batch_execute(&drop).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn connect(address: &str, schema: Option<&str>) -> Client {
    let mut config: Config = address.parse().unwrap();
    if let Some(schema) = schema {
        config.options(format!("-c search_path={schema}"));
    }
    let (client, connection) = config.connect(NoTls).await.unwrap_or_else(|error| {
        panic!("no PostgreSQL at {address} ({error}); `cargo xtask services` starts one")
    });
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn every_statement_prepares() {
    in_schema("statements", |mut client| async move {
        migrate(&mut client, POSTGRES).await.unwrap();
        let all = [
            super::STATEMENTS,
            agents::STATEMENTS,
            approvals::STATEMENTS,
            audit::STATEMENTS,
            budgets::STATEMENTS,
            claims::STATEMENTS,
            grants::STATEMENTS,
            holds::STATEMENTS,
            hot::STATEMENTS,
            gates::STATEMENTS,
            idempotency::STATEMENTS,
            keys::STATEMENTS,
            late::STATEMENTS,
            logins::STATEMENTS,
            outbox::STATEMENTS,
            pins::STATEMENTS,
            results::STATEMENTS,
            retention::STATEMENTS,
            runs::STATEMENTS,
            sessions::STATEMENTS,
            threads::STATEMENTS,
            usage::STATEMENTS,
            workers::STATEMENTS,
        ]
        .concat();
        assert!(all.len() > 30, "the lists were not found: {}", all.len());
        for sql in all {
            if let Err(error) = client.prepare(sql).await {
                panic!("{error:?}\n{sql}");
            }
        }
    })
    .await;
}

const NEXT: Migration = Migration {
    version: 9_001,
    name: "9001_notes",
    sql: "ALTER TABLE agent_versions ADD COLUMN note text; UPDATE agent_versions SET note = version || '!'",
};
const FAILING: Migration = Migration {
    version: 9_002,
    name: "9002_failing",
    sql: "CREATE TABLE half (x integer); INSERT INTO nowhere VALUES (1)",
};

/// The steps that this program has, and perhaps one more, as the database lists them.
fn steps(more: &[Migration]) -> String {
    let all = POSTGRES.iter().chain(more);
    let versions: Vec<String> = all.map(|step| step.version.to_string()).collect();
    versions.join(",")
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_populated_database_is_upgraded_whole_or_not_at_all() {
    in_schema("upgrade", |mut client| async move {
        migrate(&mut client, POSTGRES).await.unwrap();
        client
            .batch_execute("INSERT INTO agent_versions VALUES ('support', 'v1', '{}')")
            .await
            .unwrap();
        let both = [POSTGRES, &[NEXT, FAILING]].concat();
        let failed = migrate(&mut client, &both).await.unwrap_err();
        let named = matches!(
            failed,
            OpenError::Migration {
                name: "9002_failing",
                ..
            }
        );
        assert!(named, "{failed:?}");
        let versions =
            "SELECT string_agg(version::text, ',' ORDER BY version) FROM schema_migrations";
        assert_eq!(text(&client, versions).await, steps(&[]));
        let half = "SELECT coalesce(to_regclass('half')::text, 'none')";
        assert_eq!(text(&client, half).await, "none");

        let one = [POSTGRES, &[NEXT]].concat();
        for _ in 0..2 {
            migrate(&mut client, &one).await.unwrap();
            assert_eq!(text(&client, versions).await, steps(&[NEXT]));
            let note = "SELECT note FROM agent_versions";
            assert_eq!(text(&client, note).await, "v1!");
        }
        let refused = migrate(&mut client, POSTGRES).await.unwrap_err();
        let newer = matches!(refused, OpenError::NewerSchema { found: 9_001, .. });
        assert!(newer, "{refused:?}");
    })
    .await;
}
