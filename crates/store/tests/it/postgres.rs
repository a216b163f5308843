//! What only a server at the other end of a connection can get wrong.

use crate::fixtures::{AGENT, acme, answer, at, expected, thread_of};
use crate::harness::{Harness, admin, few_connections, with_database};
use domain::ports::store::{CreateThread, Holder, StoreError};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// A store on a database of its own, that database's address, and a connection to interfere by.
async fn interfered<'a>(test: impl FnOnce(Harness, String, Client) -> LocalBoxFuture<'a, ()> + 'a) {
    with_database(|address| {
        async move {
            let store = store::postgres::open(&address, few_connections())
                .await
                .unwrap();
            let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
            let task = tokio::spawn(connection);
            test(Harness { store }, address, client).await;
            task.await.unwrap().unwrap();
        }
        .boxed_local()
    })
    .await;
}

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'runyard'";

/// Returns when a statement of the store waits for a lock.
async fn until_one_waits(client: &Client) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'runyard' AND wait_event_type = 'Lock'";
    while client
        .query_one(waiting, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        == 0
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_write_whose_connection_breaks_has_an_unknown_outcome() {
    interfered(|h, _, client| {
        async move {
            let run = h.running(acme()).await;
            let done = answer(&run, "done", Vec::new(), at(3));
            client
                .batch_execute("BEGIN; LOCK TABLE chat_threads")
                .await
                .unwrap();
            let cut = async {
                until_one_waits(&client).await;
                client.batch_execute(TERMINATE).await.unwrap();
            };
            let (committed, ()) = tokio::join!(h.commit(acme(), &done, &run), cut);
            let unknown = matches!(committed, Err(StoreError::UnknownOutcome(_)));
            assert!(unknown, "{committed:?}");
            client.batch_execute("ROLLBACK").await.unwrap();
            // The next caller gets another connection and can look what became of it.
            assert_eq!(h.get_run(acme(), run.id).await, run);
            h.commit(acme(), &done, &run).await.unwrap();
            h.store.close().await;
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn idle_connections_that_were_cut_are_replaced() {
    interfered(|h, address, _client| {
        async move {
            h.store.check().await.unwrap();
            admin(&address, TERMINATE).await;
            // The first call after may still meet a connection whose end has not been noticed.
            let mut failed = 0;
            while h.store.system_now().await.is_err() {
                failed += 1;
                assert!(failed < 10, "the pool does not recover");
            }
            let thread = thread_of(AGENT, at(1));
            let created = h.store.create_thread(acme(), &thread, None).await;
            assert_eq!(created.unwrap(), CreateThread::Created);
            h.store.close().await;
        }
        .boxed_local()
    })
    .await;
}

/// Two transactions want the same rows in opposite order; whichever the server ends, the commit goes through.
#[tokio::test]
async fn a_deadlock_is_settled_inside() {
    interfered(|h, _, client| {
        async move {
            let run = h.running(acme()).await;
            let done = answer(&run, "done", Vec::new(), at(3));
            // The other one detects the deadlock much later, so the store's statement is the one that is ended.
            client
                .batch_execute(
                    "SET deadlock_timeout = '60s'; BEGIN; UPDATE runs SET updated_at = updated_at",
                )
                .await
                .unwrap();
            let other = async {
                until_one_waits(&client).await;
                client
                    .batch_execute("UPDATE chat_threads SET updated_at = updated_at; COMMIT")
                    .await
                    .unwrap();
            };
            let (committed, ()) = tokio::join!(h.commit(acme(), &done, &run), other);
            committed.unwrap();
            assert_eq!(h.get_run(acme(), run.id).await, done.run);
            h.store.close().await;
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable() {
    interfered(|h, address, _client| {
        async move {
            let (_, name) = address.rsplit_once('/').unwrap();
            let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
            admin(&address, &read_only).await;
            admin(&address, TERMINATE).await;
            let mut refused = h.store.check().await.unwrap_err();
            for _ in 0..10 {
                if matches!(refused, StoreError::Unavailable(_)) {
                    break;
                }
                refused = h.store.check().await.unwrap_err();
            }
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
            h.store.system_now().await.unwrap();
            h.store.close().await;
        }
        .boxed_local()
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_is_never_given_up_is_not_waited_for() {
    with_database(|address| {
        async move {
            let settings = store::postgres::PostgresSettings {
                statement_timeout: Duration::from_millis(200),
                ..few_connections()
            };
            let store = store::postgres::open(&address, settings).await.unwrap();
            let h = Harness { store };
            let run = h.running(acme()).await;
            let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
            let task = tokio::spawn(connection);
            client
                .batch_execute("BEGIN; LOCK TABLE runs")
                .await
                .unwrap();
            let done = answer(&run, "done", Vec::new(), at(3));
            let refused = h
                .store
                .commit_run(acme(), &done, expected(&run), Holder::Unchanged)
                .await;
            let unavailable = matches!(refused, Err(StoreError::Unavailable(_)));
            assert!(unavailable, "{refused:?}");
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(h.get_run(acme(), run.id).await, run);
            drop(client);
            task.await.unwrap().unwrap();
            h.store.close().await;
        }
        .boxed_local()
    })
    .await;
}
