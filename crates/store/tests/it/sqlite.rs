//! What only a file can get wrong.

use crate::fixtures::{AGENT, EVERYTHING, acme, answer, at, begun, expected, queued, thread_of};
use crate::harness::{Harness, sqlite_file};
use crate::keys::key_of;
use domain::key::Role;
use domain::ports::store::{CreatedRun, Holder, Store, StoreError, StoreResult};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::sqlite::{SqliteSettings, open};
use store::{OpenError, OpenMode};

async fn serve(path: &Path) -> Harness {
    let store = open(path, SqliteSettings::default()).await.unwrap();
    Harness { store }
}

async fn write(store: &Arc<dyn Store>) -> StoreResult<()> {
    let thread = thread_of(AGENT, at(1));
    store.create_thread(acme(), &thread, None).await.map(|_| ())
}

#[tokio::test]
async fn a_file_is_served_by_one_process() {
    let (_folder, path) = sqlite_file();
    let first = serve(&path).await;
    let refused = open(&path, SqliteSettings::default()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused:?}");
    first.store.check().await.unwrap();
    first.store.close().await;
    serve(&path).await.store.close().await;
}

#[tokio::test]
async fn a_dropped_store_lets_go_of_its_file() {
    let (_folder, path) = sqlite_file();
    drop(serve(&path).await);
    serve(&path).await.store.close().await;
}

#[tokio::test]
async fn a_command_writes_beside_a_server() {
    let (_folder, path) = sqlite_file();
    let server = serve(&path).await;
    let settings = SqliteSettings {
        mode: OpenMode::Beside,
        ..SqliteSettings::default()
    };
    let command = open(&path, settings.clone()).await.unwrap();
    let key = key_of(acme(), "made by hand", Role::Developer);
    command.insert_key(acme(), &key).await.unwrap();
    write(&server.store).await.unwrap();
    let found = server.store.system_find_key(&key.digest).await.unwrap();
    assert_eq!(found, Some(key));
    command.close().await;
    server.store.check().await.unwrap();
    server.store.close().await;

    // With no server at all, a command makes the file.
    let (_folder, path) = sqlite_file();
    let command = open(&path, settings).await.unwrap();
    write(&command).await.unwrap();
    command.close().await;
    serve(&path).await.store.close().await;
}

#[tokio::test]
async fn a_restarted_server_takes_its_runs_at_once() {
    let (_folder, path) = sqlite_file();
    let before = serve(&path).await;
    let worker = before.live_worker().await;
    let thread = before.thread(acme()).await;
    let started = begun(&queued(acme(), thread, "hello", at(1)), at(1));
    before.create_by(acme(), &started, worker).await;
    before.store.close().await;

    let after = serve(&path).await;
    let worker = after.live_worker().await;
    let claimed = after.store.system_claim_runs(worker, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].crashed, "nobody let go of it");
    after.store.close().await;
}

#[tokio::test]
async fn runs_wait_in_the_order_they_came_though_the_clock_went_back() {
    let (_folder, path) = sqlite_file();
    let server = serve(&path).await;
    let first = server.running(acme()).await;
    let thread = first.thread_id().unwrap();
    let second = queued(acme(), thread, "second", at(9));
    let third = queued(acme(), thread, "third", at(3));
    for waiting in [&second, &third] {
        assert_eq!(server.enqueue(acme(), waiting).await, CreatedRun::Queued);
    }
    let done = answer(&first, "one", Vec::new(), at(4));
    let committed = server.commit(acme(), &done, &first).await.unwrap();
    assert_eq!(committed.promoted, Some(second.run.id));
    server.store.close().await;
}

#[tokio::test]
async fn another_writer_is_waited_for_and_then_given_up_on() {
    let (_folder, path) = sqlite_file();
    let settings = SqliteSettings {
        busy_timeout: Duration::from_millis(50),
        ..SqliteSettings::default()
    };
    let store = open(&path, settings).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = write(&store).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    // Reads go on.
    let listed = store.list_threads(acme(), None, EVERYTHING).await.unwrap();
    assert_eq!(listed, []);
    other.execute_batch("ROLLBACK").unwrap();
    write(&store).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_write_is_answered_after_its_commit() {
    let (_folder, path) = sqlite_file();
    let store = open(&path, SqliteSettings::default()).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let count = |db: &Connection| -> i64 {
        db.query_row("SELECT count(*) FROM chat_threads", [], |row| row.get(0))
            .unwrap()
    };
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writes: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { write(&store).await })
        })
        .collect();
    // They wait for the lock that is held here, however long that is.
    let early = tokio::time::timeout(Duration::from_millis(100), &mut writes[0]).await;
    assert!(early.is_err(), "answered while nothing could be committed");
    assert_eq!(count(&other), 0);
    other.execute_batch("COMMIT").unwrap();
    for (index, write) in writes.into_iter().enumerate() {
        write.await.unwrap().unwrap();
        assert!(count(&other) > i64::try_from(index).unwrap());
    }
    store.close().await;
}

/// A job that is refused shares its group's commit with others and takes none of them with it.
#[tokio::test]
async fn a_failed_job_hurts_no_other() {
    let (_folder, path) = sqlite_file();
    let h = serve(&path).await;
    let run = h.running(acme()).await;
    let thread = thread_of(AGENT, at(1));
    h.store.create_thread(acme(), &thread, None).await.unwrap();
    let stale = answer(&run, "late", Vec::new(), at(3));
    let mut old = expected(&run);
    old.version -= 1;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // All of these wait for the lock, so they form one group or few.
    let together = futures::future::join(
        futures::future::join_all((0..10).map(|_| write(&h.store))),
        futures::future::join(
            h.store.commit_run(acme(), &stale, old, Holder::Unchanged),
            h.store.create_thread(acme(), &thread, None),
        ),
    );
    let released = async {
        tokio::task::yield_now().await;
        other.execute_batch("COMMIT").unwrap();
    };
    let ((good, (stale, duplicate)), ()) = tokio::join!(together, released);
    for result in good {
        result.unwrap();
    }
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert!(
        matches!(duplicate, Err(StoreError::Rejected(_))),
        "{duplicate:?}"
    );
    let listed = h.store.list_threads(acme(), None, EVERYTHING).await;
    assert_eq!(listed.unwrap().len(), 12);
    h.store.close().await;
}

#[tokio::test]
async fn a_full_disk_is_told_of_and_healed_from() {
    let (_folder, path) = sqlite_file();
    serve(&path).await.store.close().await;
    let settings = SqliteSettings {
        pages_max: Some(80),
        ..SqliteSettings::default()
    };
    let store = open(&path, settings).await.unwrap();
    let mut acknowledged = 0;
    let full = loop {
        let mut thread = thread_of(AGENT, at(1));
        thread.title = Some("x".repeat(3000));
        match store.create_thread(acme(), &thread, None).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the limit does not bite");
    };
    assert!(matches!(full, StoreError::Full(_)), "{full:?}");
    // Reading goes on, and what was acknowledged is there.
    let mut found = 0;
    let mut page = EVERYTHING;
    loop {
        let threads = store.list_threads(acme(), None, page).await.unwrap();
        let Some(last) = threads.last() else { break };
        page.below = Some((last.updated_at, last.id.uuid()));
        found += threads.len();
    }
    assert_eq!(found, acknowledged);
    // Space returns: here by throwing away what is there.
    let listed = store.list_threads(acme(), None, EVERYTHING).await.unwrap();
    for thread in listed {
        store.delete_thread(acme(), thread.id).await.unwrap();
    }
    write(&store).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_value_that_nobody_wrote_is_corrupt() {
    let (_folder, path) = sqlite_file();
    let h = serve(&path).await;
    let damage = [
        ("UPDATE runs SET body = '{'", "runs", "body"),
        ("UPDATE runs SET epoch = -1", "runs", "epoch"),
    ];
    for (sql, table, column) in damage {
        let run = h.running(acme()).await;
        let other = Connection::open(&path).unwrap();
        other.execute_batch(sql).unwrap();
        let error = h.store.get_run(acme(), run.id).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { table: t, column: c, id, .. }
                if *t == table && *c == column && *id == run.id.to_string()),
            "{error:?}"
        );
    }
    let run = h.running(acme()).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("UPDATE runs SET status = 'dreaming'")
        .unwrap();
    let thread = run.thread_id().unwrap();
    let error = h.store.get_thread(acme(), thread).await.unwrap_err();
    assert!(
        matches!(
            &error,
            StoreError::Corrupt {
                table: "runs",
                column: "status",
                ..
            }
        ),
        "{error:?}"
    );
    h.store.close().await;
}

/// Damage in the file is found when it is met, and what is not damaged is still served.
#[tokio::test]
async fn a_damaged_page_is_corrupt() {
    let (_folder, path) = sqlite_file();
    let h = serve(&path).await;
    let mut threads = Vec::new();
    for _ in 0..200 {
        let mut thread = thread_of(AGENT, at(1));
        thread.title = Some("x".repeat(1500));
        h.store.create_thread(acme(), &thread, None).await.unwrap();
        threads.push(thread.id);
    }
    h.store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = "x".repeat(1500);
    let position = bytes
        .windows(needle.len())
        .rposition(|window| window == needle.as_bytes())
        .unwrap();
    let page = position / 4096 * 4096;
    bytes[page..page + 16].fill(0xff);
    std::fs::write(&path, bytes).unwrap();

    let h = serve(&path).await;
    let (mut good, mut bad) = (0, 0);
    for thread in threads {
        match h.store.get_thread(acme(), thread).await {
            Ok(Some(_)) => good += 1,
            Err(StoreError::Corrupt { .. }) => bad += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(bad > 0 && good > bad, "{good} good, {bad} bad");
    h.store.close().await;
}
