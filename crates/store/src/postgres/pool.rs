//! Connections, and statements sent over them. A broken connection during a write means that nobody knows whether it
//! happened; a conflict with another transaction is settled here by doing it again.

use super::fault::{Act, Trouble, is_broken, is_conflict, store_error, unreadable};
use deadpool_postgres::{Client, PoolError};
use domain::crash::crash_point;
use domain::ports::store::{StoreError, StoreResult};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

/// Attempts at a statement that conflicts with others, or at a read whose connections turn out to be broken.
const ATTEMPTS_MAX: u32 = 8;

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    answer_timeout: Duration,
}

impl Pool {
    pub fn new(connections: deadpool_postgres::Pool, answer_timeout: Duration) -> Self {
        Self {
            connections,
            answer_timeout,
        }
    }

    pub async fn read(&self, sql: &str, params: Params<'_>) -> StoreResult<Vec<Row>> {
        self.run(sql, params, Act::Read).await
    }

    pub async fn read_one(&self, sql: &str, params: Params<'_>) -> StoreResult<Option<Row>> {
        Ok(self.read(sql, params).await?.into_iter().next())
    }

    /// On return the rows are those of a committed statement.
    pub async fn write(&self, sql: &str, params: Params<'_>) -> StoreResult<Vec<Row>> {
        self.run(sql, params, Act::Write).await
    }

    pub async fn write_one(&self, sql: &str, params: Params<'_>) -> StoreResult<Row> {
        let row = self.write(sql, params).await?.into_iter().next();
        row.ok_or_else(|| StoreError::Rejected("a function returned no row".into()))
    }

    /// Several statements in one transaction: each guard must touch a row, and so must the last, or nothing is written.
    /// `GrantGone` where a guard fails; no rows where the last statement touched none.
    pub async fn write_guarded(
        &self,
        guards: &[Guard<'_>],
        sql: &str,
        params: Params<'_>,
    ) -> StoreResult<Vec<Row>> {
        let mut attempt = 1;
        loop {
            crash_point("store.before_begin");
            let mut client = self.client().await?;
            let work = guarded(&mut client, guards, sql, params);
            match timeout(self.answer_timeout, work).await {
                Ok(Ok(done)) => {
                    crash_point("store.after_commit");
                    return done.ok_or(StoreError::GrantGone);
                }
                Ok(Err(error)) if is_conflict(&error) && attempt < ATTEMPTS_MAX => attempt += 1,
                Ok(Err(error)) => return Err(store_error(error, Act::Write)),
                Err(_) => return Err(self.silent(client, Act::Write)),
            }
        }
    }

    async fn run(&self, sql: &str, params: Params<'_>, act: Act) -> StoreResult<Vec<Row>> {
        let mut attempt = 1;
        loop {
            pass(act, "store.before_begin");
            let client = self.client().await?;
            // Nothing is written by preparing, whatever becomes of it.
            let prepared = timeout(self.answer_timeout, client.prepare_cached(sql)).await;
            let statement = match prepared {
                Ok(Ok(statement)) => statement,
                Ok(Err(error)) if is_broken(&error) && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    continue;
                }
                Ok(Err(error)) => return Err(store_error(error, Act::Read)),
                Err(_) => return Err(self.silent(client, Act::Read)),
            };
            pass(act, "store.before_commit");
            let sent = client.query(&statement, params);
            match timeout(self.answer_timeout, sent).await {
                Ok(Ok(rows)) => {
                    pass(act, "store.after_commit");
                    return Ok(rows);
                }
                Ok(Err(error)) if attempt < ATTEMPTS_MAX && again(&error, act) => attempt += 1,
                Ok(Err(error)) => return Err(store_error(error, act)),
                Err(_) => return Err(self.silent(client, act)),
            }
        }
    }

    async fn client(&self) -> StoreResult<Client> {
        self.connections.get().await.map_err(|error| match error {
            PoolError::Closed => StoreError::Unavailable(Box::new(Trouble::Closed)),
            other => StoreError::Unavailable(Box::new(other)),
        })
    }

    /// A connection that does not answer is not used again.
    fn silent(&self, client: Client, act: Act) -> StoreError {
        drop(Client::take(client));
        match act {
            Act::Read => StoreError::Unavailable(Box::new(Trouble::NoAnswer)),
            Act::Write => StoreError::UnknownOutcome(Box::new(Trouble::NoAnswer)),
        }
    }

    /// Waits for connections in use and closes them all.
    pub async fn close(&self) {
        let all = self.connections.status().max_size;
        let mut held = Vec::with_capacity(all);
        for _ in 0..all {
            // Only those that exist: a new one would be opened for nothing, so stop at the first that is not there.
            if self.connections.status().size == held.len() {
                break;
            }
            match self.connections.get().await {
                Ok(client) => held.push(client),
                Err(_) => break,
            }
        }
        self.connections.close();
    }
}

/// A statement that must return a row for its transaction to go on.
pub(super) struct Guard<'a> {
    pub sql: &'static str,
    pub params: Params<'a>,
}

/// `None` where a guard returned no row. A transaction that is dropped is rolled back.
async fn guarded(
    client: &mut Client,
    guards: &[Guard<'_>],
    sql: &str,
    params: Params<'_>,
) -> Result<Option<Vec<Row>>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    for guard in guards {
        let statement = transaction.prepare_cached(guard.sql).await?;
        if transaction
            .query(&statement, guard.params)
            .await?
            .is_empty()
        {
            transaction.rollback().await?;
            return Ok(None);
        }
    }
    let statement = transaction.prepare_cached(sql).await?;
    let rows = transaction.query(&statement, params).await?;
    if rows.is_empty() {
        transaction.rollback().await?;
        return Ok(Some(rows));
    }
    crash_point("store.before_commit");
    transaction.commit().await?;
    Ok(Some(rows))
}

/// A statement is a transaction of its own: the database begins and commits it between one point and the next.
fn pass(act: Act, point: &'static str) {
    match act {
        Act::Read => {}
        Act::Write => crash_point(point),
    }
}

/// After a restart of the server every idle connection is broken, and a read may meet them all.
fn again(error: &tokio_postgres::Error, act: Act) -> bool {
    is_conflict(error) || (act == Act::Read && is_broken(error))
}

/// A column's value; a value of another type is corrupt.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> StoreResult<T> {
    row.try_get(column).map_err(unreadable)
}
