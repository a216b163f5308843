//! A bounded set of read-only connections, used on blocking threads: a read never waits for the writer and never stops
//! a task that does not read. All but the first are opened when they are first needed: each holds the schema and pages of
//! its own, and a start should not wait for what an idle server never uses.

use super::fault::{Trouble, Work, store_error};
use domain::ports::store::{StoreError, StoreResult};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    open: Arc<dyn Fn() -> rusqlite::Result<Connection> + Send + Sync>,
    permits: Arc<Semaphore>,
    count: u32,
}

impl Readers {
    /// At most `count` connections, made by `open`. The first is opened now, so that a file that cannot be read is known
    /// at once.
    pub fn new(
        count: usize,
        open: impl Fn() -> rusqlite::Result<Connection> + Send + Sync + 'static,
    ) -> rusqlite::Result<Self> {
        let count = count.max(1);
        Ok(Self {
            idle: Arc::new(Mutex::new(vec![open()?])),
            open: Arc::new(open),
            permits: Arc::new(Semaphore::new(count)),
            count: u32::try_from(count).expect("a handful"),
        })
    }

    pub async fn read<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Work<T> + Send + 'static,
    {
        let closed = || StoreError::Unavailable(Box::new(Trouble::Closed));
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (idle, open) = (Arc::clone(&self.idle), Arc::clone(&self.open));
        let done = tokio::task::spawn_blocking(move || {
            let kept = lock(&idle).pop();
            let db = kept.map_or_else(|| open(), Ok).map_err(store_error)?;
            let result = work(&db);
            lock(&idle).push(db);
            drop(permit);
            result.map_err(StoreError::from)
        });
        done.await.unwrap_or_else(|error| {
            Err(StoreError::Unavailable(Box::new(Trouble::ReaderGone(
                error,
            ))))
        })
    }

    /// Waits for reads under way and closes every connection.
    pub async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            lock(&self.idle).clear();
            all.forget();
            self.permits.close();
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
