//! SQL tools on a SQLite file. Statements run on blocking threads, each on a connection of its own from a small pool.

use super::rows::Rows;
use super::statement::{Statement, StatementError};
use super::{Answer, DatabaseError, Fault, Job, ledger};
use crate::executor::Unforgotten;
use crate::limits::{CONNECTIONS, SQLITE_VALUE_BYTES_MAX};
use data_encoding::HEXLOWER;
use domain::seeded::Seeded;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql, TransactionBehavior,
};
use serde_json::{Map, Number, Value};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a connection may do. The database enforces it, whatever a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

pub(super) struct Sqlite {
    readers: Pool,
    /// SQLite has one writer at a time; waiting for it here costs nothing, waiting inside SQLite polls.
    writer: Pool,
}

/// Connections that are idle, and permits for as many as there may be.
struct Pool {
    path: PathBuf,
    mode: Mode,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, read_only: bool) -> Result<Self, DatabaseError> {
        if !path.is_file() {
            return Err(DatabaseError::NoFile {
                path: path.display().to_string(),
            });
        }
        let pool = |mode, size| Pool {
            path: path.to_owned(),
            mode,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(size)),
        };
        let sqlite = Self {
            readers: pool(Mode::Read, CONNECTIONS),
            writer: pool(Mode::Write, 1),
        };
        sqlite
            .readers
            .keep(connect(path, Mode::Read).map_err(DatabaseError::Sqlite)?);
        if !read_only {
            sqlite
                .writer
                .keep(connect(path, Mode::Write).map_err(DatabaseError::Sqlite)?);
        }
        Ok(sqlite)
    }

    /// Lets SQLite compile a statement. One that writes is refused for a tool that only reads.
    pub(super) fn check(&self, statement: &Statement, writes: bool) -> Result<(), StatementError> {
        let mode = if writes { Mode::Write } else { Mode::Read };
        let connection = connect(&self.readers.path, mode).map_err(StatementError::Sqlite)?;
        match connection.prepare(&statement.text) {
            Ok(_) => Ok(()),
            Err(
                rusqlite::Error::SqliteFailure(error, _)
                | rusqlite::Error::SqlInputError { error, .. },
            ) if mode == Mode::Read && error.code == ErrorCode::AuthorizationForStatementDenied => {
                Err(StatementError::Writes)
            }
            Err(error) => Err(StatementError::Sqlite(error)),
        }
    }

    pub(super) fn make_ledger(&self) -> Result<(), rusqlite::Error> {
        connect(&self.readers.path, Mode::Write)?.execute_batch(ledger::CREATE)
    }

    pub(super) async fn forget(&self, tool: &str, age: Duration) -> Result<u64, Unforgotten> {
        let permit = Arc::clone(&self.writer.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Unforgotten(Box::new(closed)))?;
        let (path, tool) = (self.writer.path.clone(), tool.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let before = format!("-{} seconds", age.as_secs());
            connect(&path, Mode::Write)?.execute(ledger::FORGET_SQLITE, [&tool, &before])
        });
        match done.await {
            Ok(Ok(count)) => Ok(count as u64),
            Ok(Err(error)) => Err(Unforgotten(Box::new(error))),
            Err(error) => Err(Unforgotten(Box::new(error))),
        }
    }

    pub(super) async fn run(&self, job: Job) -> Result<Answer, Fault> {
        let pool = if job.plan.writes {
            &self.writer
        } else {
            &self.readers
        };
        let permit = Arc::clone(&pool.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(job.left(), permit).await else {
            return Err(Fault::TimedOut);
        };
        let abandoned = Abandoned(Arc::default());
        let watch = Arc::clone(&abandoned.0);
        let held = Held {
            path: pool.path.clone(),
            mode: pool.mode,
            idle: Arc::clone(&pool.idle),
            _permit: permit,
        };
        let done = tokio::task::spawn_blocking(move || held.run(&job, watch)).await;
        done.unwrap_or_else(|error| {
            tracing::error!("a SQL tool's thread ended badly: {error}");
            Err(Fault::CommitUnknown)
        })
    }
}

impl Pool {
    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(connection);
    }
}

/// Tells the thread to stop once nobody waits for it.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A pool's place, taken for one call.
struct Held {
    path: PathBuf,
    mode: Mode,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    fn run(self, job: &Job, abandoned: Arc<AtomicBool>) -> Result<Answer, Fault> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, self.mode).map_err(|error| {
                tracing::warn!(tool.name = %job.plan.tool, "SQLite cannot be opened: {error}");
                Fault::Unreachable
            })?,
        };
        let deadline = job.deadline;
        let watched = connection
            .progress_handler(
                1_000,
                Some(move || abandoned.load(Ordering::Relaxed) || Instant::now() >= deadline),
            )
            .and_then(|()| connection.busy_timeout(job.left()));
        let answer = match watched {
            Ok(()) => transaction(&mut connection, job),
            Err(_) => Err(Fault::Unreachable),
        };
        // One that is still within a transaction would carry it into the next call.
        if connection.is_autocommit() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
        }
        answer
    }
}

fn connect(path: &Path, mode: Mode) -> Result<Connection, rusqlite::Error> {
    let flags = match mode {
        Mode::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Mode::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let mut connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, SQLITE_VALUE_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    match mode {
        Mode::Read => {
            connection.pragma_update(None, "query_only", true)?;
            connection.authorizer(Some(reads_only))?;
        }
        Mode::Write => {
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
    }
    Ok(connection)
}

/// The third lock on a reading connection, after its file's mode and `query_only`; this one tells at the start.
fn reads_only(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Transaction { .. } => Authorization::Allow,
        AuthAction::Function { function_name } if function_name != "load_extension" => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn transaction(connection: &mut Connection, job: &Job) -> Result<Answer, Fault> {
    let behavior = if job.plan.writes {
        TransactionBehavior::Immediate
    } else {
        TransactionBehavior::Deferred
    };
    let fault = |error| fault(&error, job);
    let tx = connection
        .transaction_with_behavior(behavior)
        .map_err(fault)?;
    if job.plan.keyed {
        let recorded: Option<String> = tx
            .prepare_cached("SELECT result FROM runyard_call_ledger WHERE call_key = ?1")
            .and_then(|mut select| {
                select
                    .query_row([&job.call_key], |row| row.get(0))
                    .optional()
            })
            .map_err(fault)?;
        if let Some(recorded) = recorded.filter(|_| !Seeded::LedgerUnread.is_on()) {
            return Ok(ledger::told(&recorded));
        }
    }
    let answer = statements(&tx, job).map_err(fault)?;
    if job.plan.keyed {
        tx.prepare_cached(
            "INSERT INTO runyard_call_ledger (call_key, tool, result) VALUES (?1, ?2, ?3)",
        )
        .and_then(|mut insert| {
            insert.execute([&job.call_key, &job.plan.tool, &ledger::recorded(&answer)])
        })
        .map_err(fault)?;
    }
    if Instant::now() >= job.deadline {
        return Err(Fault::TimedOut);
    }
    match tx.commit() {
        Ok(()) => Ok(answer),
        Err(error) if !job.plan.writes || is_undone(&error) => Err(fault(error)),
        Err(error) => {
            log(&error, job);
            Err(Fault::CommitUnknown)
        }
    }
}

fn statements(connection: &Connection, job: &Job) -> Result<Answer, rusqlite::Error> {
    let plan = &job.plan;
    let before = connection.total_changes();
    let mut last = None;
    for statement in &plan.statements {
        let mut prepared = connection.prepare_cached(&statement.text)?;
        for name in &statement.parameters {
            let index = prepared.parameter_index(&format!(":{name}"))?;
            let value = job.values.get(name).unwrap_or(&Value::Null);
            if let Some(index) = index {
                prepared.raw_bind_parameter(index, Bound(value))?;
            }
        }
        let names: Vec<String> = prepared.column_names().map(str::to_owned).collect();
        let mut rows = Rows::new(plan, job.bytes_max);
        let mut found = prepared.raw_query();
        while let Some(row) = found.next()? {
            // A write is carried on to its end whether its rows are taken or not.
            if !rows.push(object(&names, row)?) && !plan.writes {
                break;
            }
        }
        last = Some((rows, !names.is_empty()));
    }
    let changed = plan.writes.then(|| connection.total_changes() - before);
    let (rows, has_columns) = last.expect("a plan has a statement");
    Ok(rows.answer(plan, has_columns, changed))
}

fn object(names: &[String], row: &Row<'_>) -> Result<Map<String, Value>, rusqlite::Error> {
    let mut object = Map::new();
    for (index, name) in names.iter().enumerate() {
        let value = match row.get_ref(index)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Number(number.into()),
            ValueRef::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            ValueRef::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::String(HEXLOWER.encode(bytes)),
        };
        object.insert(name.clone(), value);
    }
    Ok(object)
}

/// A JSON value as SQLite keeps it: booleans as 0 and 1, lists and objects as JSON text.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::from(rusqlite::types::Null),
            Value::Bool(is) => ToSqlOutput::from(*is),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => ToSqlOutput::from(integer),
                (None, Some(real)) if !number.is_u64() => ToSqlOutput::from(real),
                // Over 2^63: exact only as text.
                _ => ToSqlOutput::from(number.to_string()),
            },
            Value::String(text) => ToSqlOutput::from(text.as_str()),
            list @ (Value::Array(_) | Value::Object(_)) => ToSqlOutput::from(list.to_string()),
        })
    }
}

/// Whether the failed commit certainly left nothing behind.
fn is_undone(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::ConstraintViolation
                | ErrorCode::DiskFull
                | ErrorCode::OperationInterrupted
                | ErrorCode::ReadOnly
        )
    )
}

fn fault(error: &rusqlite::Error, job: &Job) -> Fault {
    let said = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => Some(message),
        _ => None,
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Fault::TimedOut,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::TimedOut,
        // What the data says no to, the model can mend.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            let said = said.map_or("the database refused the values", String::as_str);
            Fault::RolledBack(format!("{said}; nothing was changed"))
        }
        _ => {
            log(error, job);
            Fault::RolledBack("the database refused the call; nothing was changed".to_owned())
        }
    }
}

/// The code alone: messages may quote arguments.
fn log(error: &rusqlite::Error, job: &Job) {
    let code = error.sqlite_error().map(|error| error.extended_code);
    tracing::warn!(tool.name = %job.plan.tool, sqlite.code = ?code, "a SQL tool failed");
}
