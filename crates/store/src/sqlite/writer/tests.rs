//! What becomes of a group when one of its jobs fails, or the disk does.

use super::super::fault::{Fault, Work};
use super::Writer;
use domain::ports::store::{StoreError, StoreResult};
use rusqlite::{Connection, Error, ffi};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use tempfile::TempDir;

struct Fixture {
    _folder: TempDir,
    path: PathBuf,
    writer: Arc<Writer>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x INTEGER PRIMARY KEY)")
            .unwrap();
        Self {
            _folder: folder,
            path,
            writer: Arc::new(Writer::start(db, None).unwrap()),
        }
    }

    /// Makes the writer busy until the sender is used, so that all jobs asked for meanwhile form one group.
    async fn busy(&self) -> Sender<()> {
        let (go, gate) = channel::<()>();
        let (entered, inside) = tokio::sync::oneshot::channel();
        let entered = std::sync::Mutex::new(Some(entered));
        let writer = Arc::clone(&self.writer);
        tokio::spawn(async move {
            let work = move |_: &Connection| {
                if let Some(entered) = entered.lock().unwrap().take() {
                    entered.send(()).unwrap();
                    gate.recv().unwrap();
                }
                Ok(())
            };
            writer.write(work).await.unwrap();
        });
        inside.await.unwrap();
        go
    }

    async fn run(
        &self,
        work: impl Fn(&Connection) -> Work<()> + Send + 'static,
    ) -> StoreResult<()> {
        self.writer.write(work).await
    }

    fn rows(&self) -> Vec<i64> {
        let db = Connection::open(&self.path).unwrap();
        let mut statement = db.prepare("SELECT x FROM t ORDER BY x").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn insert(x: i64) -> impl Fn(&Connection) -> Work<()> + Send + 'static {
    move |db| {
        db.execute("INSERT INTO t VALUES (?1)", [x])?;
        Ok(())
    }
}

fn sqlite_error(extended_code: i32) -> Fault {
    Fault::Sql(Error::SqliteFailure(ffi::Error::new(extended_code), None))
}

#[tokio::test]
async fn a_job_that_fails_after_it_wrote_is_undone_alone() {
    let fixture = Fixture::new();
    let go = fixture.busy().await;
    let refused = |db: &Connection| {
        db.execute("INSERT INTO t VALUES (100)", [])?;
        Err(Fault::Refused(StoreError::Stale))
    };
    let duplicate = |db: &Connection| {
        db.execute("INSERT INTO t VALUES (101)", [])?;
        db.execute("INSERT INTO t VALUES (1)", [])?;
        Ok(())
    };
    let (one, two, three, four, ()) = tokio::join!(
        fixture.run(insert(1)),
        fixture.run(refused),
        fixture.run(duplicate),
        fixture.run(insert(2)),
        async { go.send(()).unwrap() }
    );
    one.unwrap();
    assert!(matches!(two, Err(StoreError::Stale)), "{two:?}");
    assert!(matches!(three, Err(StoreError::Rejected(_))), "{three:?}");
    four.unwrap();
    assert_eq!(fixture.rows(), [1, 2]);
}

#[tokio::test]
async fn a_group_that_loses_its_transaction_is_acknowledged_to_nobody() {
    let fixture = Fixture::new();
    let go = fixture.busy().await;
    let full = |_: &Connection| Err(sqlite_error(ffi::SQLITE_FULL));
    let (one, two, three, ()) = tokio::join!(
        fixture.run(insert(1)),
        fixture.run(full),
        fixture.run(insert(2)),
        async { go.send(()).unwrap() }
    );
    for result in [one, two, three] {
        assert!(matches!(result, Err(StoreError::Full(_))), "{result:?}");
    }
    assert_eq!(fixture.rows(), [0_i64; 0]);
    fixture.run(insert(3)).await.unwrap();
    assert_eq!(fixture.rows(), [3]);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let fixture = Fixture::new();
    let go = fixture.busy().await;
    let unsynced = |_: &Connection| Err(sqlite_error(ffi::SQLITE_IOERR_FSYNC));
    let (one, two, ()) = tokio::join!(fixture.run(insert(1)), fixture.run(unsynced), async {
        go.send(()).unwrap()
    });
    for result in [one, two] {
        let unknown = matches!(result, Err(StoreError::UnknownOutcome(_)));
        assert!(unknown, "{result:?}");
    }
    for _ in 0..2 {
        let refused = fixture.run(insert(2)).await;
        let unavailable = matches!(refused, Err(StoreError::Unavailable(_)));
        assert!(unavailable, "{refused:?}");
    }
    assert_eq!(fixture.rows(), [0_i64; 0]);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_stop_its_write() {
    let fixture = Fixture::new();
    let go = fixture.busy().await;
    let mut given_up = Box::pin(fixture.run(insert(1)));
    assert!(futures::poll!(&mut given_up).is_pending());
    drop(given_up);
    go.send(()).unwrap();
    fixture.run(insert(2)).await.unwrap();
    assert_eq!(fixture.rows(), [1, 2]);
}

#[tokio::test]
async fn jobs_before_a_close_are_done() {
    let fixture = Fixture::new();
    let go = fixture.busy().await;
    let (one, (), ()) = tokio::join!(fixture.run(insert(1)), fixture.writer.close(), async {
        go.send(()).unwrap();
    });
    one.unwrap();
    assert_eq!(fixture.rows(), [1]);
    let refused = fixture.run(insert(2)).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
}
