//! One run with all that belongs to it, taken out of a store and brought into another of either kind. Whoever takes it
//! out has put it on hold before, so that nothing of it changes while it is read.

use super::cell::{Cell, Row};
use super::tables::{Part, TABLES, Table};
use super::{postgres, sqlite};
use crate::open::{Place, place};
use crate::postgres::open as server;
use crate::sqlite::{audit, open as file};
use crate::{OpenError, encode, migrations};
use domain::audit::Entry;
use domain::ports::store::StoreError;
use domain::run::Hold;
use domain::{OrgScope, RunId};
use rusqlite::TransactionBehavior;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    #[error("the store has no such run")]
    NoRun,
    #[error(
        "it was written by a version whose tables are others: schema step {found}, and here it is {known}"
    )]
    OtherSchema { found: i32, known: i32 },
    #[error("its content does not fit together: {what}")]
    Unfit { what: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
    #[error("PostgreSQL cannot be read or written")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("the work on the file stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Rows of one run by table, as JSON. Other servers make of them what the tables do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parcel {
    /// The last step of the schema that the rows are of.
    schema: i32,
    pub org: String,
    pub run_id: Uuid,
    thread_id: Option<Uuid>,
    tables: BTreeMap<String, Vec<Vec<Value>>>,
}

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    In,
    /// The store has the run already; nothing was written.
    RunIsThere,
    /// The store has the run's thread already; nothing was written.
    ThreadIsThere,
}

/// Reads a run out of the store at `address`.
///
/// # Errors
/// `NoRun`, and as they say.
pub async fn take_out(address: &str, scope: &OrgScope, run: RunId) -> Result<Parcel, ParcelError> {
    let org = scope.org().as_str().to_owned();
    let rows = match place(address) {
        Place::File(path) => {
            let path = path.to_owned();
            let wanted = Wanted::new(&org, run.uuid());
            let read = tokio::task::spawn_blocking(move || read_file(&path, &wanted));
            read.await??
        }
        Place::Server => {
            let wanted = Wanted::new(&org, run.uuid());
            read_server(address, &wanted).await?
        }
    };
    let thread_id = match the(&rows, "runs", "thread") {
        Some(Cell::Uuid(id)) => Some(*id),
        Some(_) => None,
        None => return Err(ParcelError::NoRun),
    };
    let tables = rows.into_iter().map(|(table, rows)| {
        let rows = rows
            .iter()
            .map(|row| row.iter().map(Cell::to_json).collect());
        (table.name.to_owned(), rows.collect())
    });
    Ok(Parcel {
        schema: schema(),
        org,
        run_id: run.uuid(),
        thread_id,
        tables: tables.collect(),
    })
}

type Rows = Vec<(&'static Table, Vec<Row>)>;

fn schema() -> i32 {
    migrations::SQLITE.last().map_or(0, |step| step.version)
}

fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// A column of the first row of a table.
fn the<'a>(rows: &'a Rows, name: &str, column: &str) -> Option<&'a Cell> {
    let (table, rows) = rows.iter().find(|(table, _)| table.name == name)?;
    rows.first()?.get(table.place(column)?)
}

/// A table, and what its columns must have in the rows that are wanted.
type Search = (&'static Table, Vec<(&'static str, Cell)>);

/// Which rows are read, in which order.
struct Wanted {
    org: String,
    run: Uuid,
}

impl Wanted {
    fn new(org: &str, run: Uuid) -> Self {
        Self {
            org: org.to_owned(),
            run,
        }
    }

    fn of_run(&self) -> Vec<(&'static str, Cell)> {
        vec![
            ("org", Cell::Text(self.org.clone())),
            ("id", Cell::Uuid(self.run)),
        ]
    }

    /// What to look for in every table, once the run's own row is known; `None` if there is no such run.
    fn others(&self, run: &[Row]) -> Option<Vec<Search>> {
        let runs = table("runs")?;
        let row = run.first()?;
        let of = |name: &str| Some(row[runs.place(name)?].clone());
        let thread = of("thread")?;
        let org = || ("org", Cell::Text(self.org.clone()));
        let by_run = |column| vec![org(), (column, Cell::Uuid(self.run))];
        let by_thread = |column| match &thread {
            Cell::Uuid(id) => Some(vec![org(), (column, Cell::Uuid(*id))]),
            _ => None,
        };
        let version = [
            ("agent_type", of("agent_type")?),
            ("version", of("agent_version")?),
        ];
        let wanted = TABLES.iter().filter_map(|table| {
            let condition = match table.part {
                Part::No if table.name == "agent_versions" => version.to_vec(),
                Part::No => return None,
                Part::OfRun(column) => by_run(column),
                Part::OfThread(column) => by_thread(column)?,
                // A thread's rows are those of all its runs.
                Part::OfEither(column, of_thread) => {
                    by_thread(of_thread).unwrap_or_else(|| by_run(column))
                }
            };
            Some((table, condition))
        });
        Some(wanted.collect())
    }
}

fn read_file(path: &std::path::Path, wanted: &Wanted) -> Result<Rows, ParcelError> {
    let mut db = file::beside(path)?;
    let transaction = db.transaction()?;
    let runs = table("runs").expect("the list has it");
    let run = sqlite::select(&transaction, runs, &wanted.of_run())?;
    let others = wanted.others(&run).ok_or(ParcelError::NoRun)?;
    let mut all = Vec::new();
    for (table, condition) in others {
        all.push((table, sqlite::select(&transaction, table, &condition)?));
    }
    Ok(all)
}

async fn read_server(address: &str, wanted: &Wanted) -> Result<Rows, ParcelError> {
    let (mut client, _) = server::alone(address).await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let runs = table("runs").expect("the list has it");
    let run = postgres::select(&transaction, runs, &wanted.of_run()).await?;
    let others = wanted.others(&run).ok_or(ParcelError::NoRun)?;
    let mut all = Vec::new();
    for (table, condition) in others {
        let rows = postgres::select(&transaction, table, &condition).await?;
        all.push((table, rows));
    }
    Ok(all)
}

impl Parcel {
    /// The rows, each checked to be of this org, run and thread and nothing else's.
    fn rows(&self) -> Result<Rows, ParcelError> {
        if self.schema != schema() {
            return Err(ParcelError::OtherSchema {
                found: self.schema,
                known: schema(),
            });
        }
        let unfit = |what: String| ParcelError::Unfit { what };
        let mut all = Vec::new();
        for known in TABLES {
            let Some(rows) = self.tables.get(known.name) else {
                continue;
            };
            if known.part == Part::No && known.name != "agent_versions" {
                return Err(unfit(format!("rows of {}", known.name)));
            }
            let rows = rows.iter().map(|row| self.row(known, row));
            let rows = rows.collect::<Option<Vec<Row>>>();
            let rows = rows.ok_or_else(|| unfit(format!("a row of {}", known.name)))?;
            all.push((known, rows));
        }
        for (name, count) in [
            ("runs", 1),
            ("chat_threads", usize::from(self.thread_id.is_some())),
        ] {
            let found = all.iter().find(|(table, _)| table.name == name);
            if found.map_or(0, |(_, rows)| rows.len()) != count {
                return Err(unfit(format!("the number of {name}")));
            }
        }
        match self.tables.keys().find(|name| table(name).is_none()) {
            Some(other) => Err(unfit(format!("an unknown table {other}"))),
            None => Ok(all),
        }
    }

    fn row(&self, table: &Table, values: &[Value]) -> Option<Row> {
        if values.len() != table.columns.len() {
            return None;
        }
        let cells = table.columns.iter().zip(values);
        let row: Row = cells
            .map(|(column, value)| Cell::from_json(value, column.kind))
            .collect::<Option<_>>()?;
        let is = |column: &str, cell: &Cell| table.place(column).is_some_and(|at| row[at] == *cell);
        let run = Cell::Uuid(self.run_id);
        let thread = self.thread_id.map_or(Cell::Null, Cell::Uuid);
        let belongs = match table.part {
            Part::No => true,
            Part::OfRun(column) => is(column, &run),
            Part::OfThread(column) => thread != Cell::Null && is(column, &thread),
            Part::OfEither(column, of_thread) => {
                is(column, &run) || (thread != Cell::Null && is(of_thread, &thread))
            }
        };
        let org = Cell::Text(self.org.clone());
        (belongs && (table.place("org").is_none() || is("org", &org))).then_some(row)
    }
}

/// Writes a run into the store at `address`, on hold, with a new epoch. The entry joins the org's record.
///
/// # Errors
/// `OtherSchema`, `Unfit`, and as they say; then nothing was written.
pub async fn bring_in(
    address: &str,
    parcel: &Parcel,
    hold: Hold,
    entry: &Entry,
) -> Result<Brought, ParcelError> {
    let mut rows = parcel.rows()?;
    put_on_hold(&mut rows, hold)?;
    let mut ids = vec![("runs", parcel.run_id, Brought::RunIsThere)];
    ids.extend(
        parcel
            .thread_id
            .map(|id| ("chat_threads", id, Brought::ThreadIsThere)),
    );
    let (org, entry) = (parcel.org.clone(), encode::json(entry)?);
    match place(address) {
        Place::File(path) => {
            let path = path.to_owned();
            let at = hold.at().as_micros();
            let written = tokio::task::spawn_blocking(move || {
                write_file(&path, &org, at, &ids, &rows, entry)
            });
            written.await?
        }
        Place::Server => {
            write_server(address, &org, hold.at().as_micros(), &ids, &rows, &entry).await
        }
    }
}

fn put_on_hold(rows: &mut Rows, hold: Hold) -> Result<(), ParcelError> {
    let hold = encode::json(&hold)?;
    for (table, rows) in rows.iter_mut().filter(|(table, _)| table.name == "runs") {
        for row in rows {
            for (name, value) in [("hold", Cell::Text(hold.clone())), ("owner", Cell::Null)] {
                row[table.place(name).expect("the list has it")] = value;
            }
            for name in ["epoch", "version"] {
                if let Cell::Int(number) = &mut row[table.place(name).expect("the list has it")] {
                    *number += 1;
                }
            }
        }
    }
    Ok(())
}

type Ids = [(&'static str, Uuid, Brought)];

/// Rows that others may have brought: the same agent, the same key.
fn is_shared(table: &Table) -> bool {
    matches!(table.name, "agent_versions" | "api_keys" | "tool_results")
}

fn write_file(
    path: &std::path::Path,
    org: &str,
    at: i64,
    ids: &Ids,
    rows: &Rows,
    entry: String,
) -> Result<Brought, ParcelError> {
    let mut db = file::beside(path)?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (name, id, there) in ids {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE org = ?1 AND id = ?2)");
        let is_there: bool =
            transaction.query_row(&sql, rusqlite::params![org, id.as_bytes()], |row| {
                row.get(0)
            })?;
        if is_there {
            return Ok(*there);
        }
    }
    transaction.execute(
        "INSERT INTO orgs (org, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        rusqlite::params![org, at],
    )?;
    for (table, rows) in rows {
        sqlite::insert(&transaction, table, rows, is_shared(table))?;
    }
    audit::append(&transaction, org, &[entry]).map_err(StoreError::from)?;
    transaction.commit()?;
    Ok(Brought::In)
}

async fn write_server(
    address: &str,
    org: &str,
    at: i64,
    ids: &Ids,
    rows: &Rows,
    entry: &str,
) -> Result<Brought, ParcelError> {
    let (mut client, _) = server::alone(address).await?;
    let transaction = client.transaction().await?;
    for (name, id, there) in ids {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE org = $1 AND id = $2)");
        let row = transaction.query_one(&sql, &[&org, id]).await?;
        if row.try_get(0)? {
            return Ok(*there);
        }
    }
    let new_org = "INSERT INTO orgs (org, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    transaction.execute(new_org, &[&org, &at]).await?;
    for (table, rows) in rows {
        postgres::insert(&transaction, table, rows, is_shared(table)).await?;
    }
    let note = "SELECT append_audit_6(ARRAY[$1::text], ARRAY[$2::text])";
    transaction.query(note, &[&org, &entry]).await?;
    transaction.commit().await?;
    Ok(Brought::In)
}
