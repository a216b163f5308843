//! A whole store moved from its file into PostgreSQL. Each batch and the note of how far it goes are one commit, so that a
//! move that was stopped anywhere goes on from there. Nobody serves either database meanwhile; the new one is opened
//! once every table has been read again on both sides and found equal, and the old one has been closed for good.

use super::cell::{Cell, Row, Sum};
use super::standing::{self, Place, Standing};
use super::tables::{TABLES, Table};
use super::{postgres, sqlite};
use crate::OpenError;
use crate::postgres::open as target;
use crate::sqlite::open as source;
use domain::Timestamp;
use domain::audit::{Actor, Deed, Entry};
use domain::seeded::Seeded;
use rusqlite::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const BATCH_ROWS: usize = 2_000;
/// Bytes of rows in memory at once.
const BATCH_WEIGHT: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{} is not there", path.display())]
    Missing { path: PathBuf },
    #[error("the target is not empty: its table {table} has rows")]
    NotEmpty { table: &'static str },
    #[error("the store is being moved to {to} already")]
    OtherTarget { to: String },
    #[error("another move into the target is under way")]
    OtherMove,
    #[error("the store was moved to {to}")]
    Done { to: String },
    #[error("no move of this store is under way")]
    NoMove,
    #[error("the two sides differ in table {table}: {here} rows here, {there} there{content}")]
    Differs {
        table: &'static str,
        here: u64,
        there: u64,
        /// Empty, or that the counts are equal and the content is not.
        content: &'static str,
    },
    #[error("the target's note of how far the move has come was made by another version")]
    UnknownPlace,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the file cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
    #[error("PostgreSQL cannot be read or written")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("the work on the file stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// What a move is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// `rows` of the table are there, `of` are to be.
    Copied {
        table: &'static str,
        rows: u64,
        of: u64,
    },
    /// The table is the same on both sides.
    Checked { table: &'static str, rows: u64 },
    /// The old store is closed for good; only the opening of the new one is left.
    Left,
}

/// What was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub tables: usize,
    pub rows: u64,
}

/// Moves the file at `from` to the PostgreSQL database at `to`, or goes on with it. `id` names a move that begins now.
/// Ids, cursors and records stay what they are.
///
/// # Errors
/// As they say; after each of them the same call goes on from where it came to.
pub async fn move_store(
    from: &Path,
    to: &str,
    id: Uuid,
    at: Timestamp,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Moved, MoveError> {
    let mut source = Source::open(from).await?;
    let (mut client, name) = target::alone(to).await?;
    let id = begin(&mut source, &mut client, &name, id, at).await?;
    if let Some(id) = id {
        copy(&mut source, &mut client, id, at, watch).await?;
    }
    let moved = compare(&mut source, &client, watch, id.is_some()).await?;
    if let Some(move_id) = id {
        let left = Standing::Left {
            move_id,
            to: name,
            at,
        };
        source.put(Some(left)).await?;
    }
    watch(Progress::Left);
    open_target(&mut source, &mut client, at).await?;
    Ok(moved)
}

/// What became of the target of a move that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// It is as empty as before.
    Emptied,
    /// It could not be reached and keeps what was copied, which nobody will ever serve.
    Left,
}

/// Gives up a move that is not done: the file is in use again, and what was copied is taken away. A target that is gone
/// holds up nobody.
///
/// # Errors
/// `Done` for one that is done, `NoMove` if there is none.
pub async fn undo_move(from: &Path, to: &str) -> Result<Undone, MoveError> {
    let mut source = Source::open(from).await?;
    let move_id = match source.standing().await? {
        Some(Standing::Leaving { move_id, .. }) => move_id,
        Some(Standing::Left { to, .. }) => return Err(MoveError::Done { to }),
        Some(Standing::Arriving { .. }) | None => return Err(MoveError::NoMove),
    };
    let undone = match target::alone(to).await {
        Ok((client, _)) => {
            empty(client, move_id).await?;
            Undone::Emptied
        }
        Err(OpenError::Connect { .. }) => Undone::Left,
        Err(error) => return Err(error.into()),
    };
    source.put(None).await?;
    Ok(undone)
}

async fn empty(mut client: tokio_postgres::Client, move_id: Uuid) -> Result<(), MoveError> {
    match standing::of_postgres(&client).await? {
        Some(Standing::Arriving { move_id: there, .. }) if there == move_id => {
            let transaction = client.transaction().await?;
            for table in TABLES {
                let empty = format!("TRUNCATE {}", table.name);
                transaction.batch_execute(&empty).await?;
            }
            standing::put_postgres(&transaction, None).await?;
            transaction.commit().await?;
            Ok(())
        }
        Some(_) => Err(MoveError::OtherMove),
        // It had not got there.
        None => Ok(()),
    }
}

/// The file, and the lock that keeps servers off it.
struct Source {
    db: Option<Connection>,
    _lock: File,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, MoveError> {
        if !path.exists() {
            return Err(MoveError::Missing {
                path: path.to_owned(),
            });
        }
        let path = path.to_owned();
        let (db, lock) = tokio::task::spawn_blocking(move || source::alone(&path)).await??;
        Ok(Self {
            db: Some(db),
            _lock: lock,
        })
    }

    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, MoveError> {
        let mut db = self.db.take().expect("it is put back after each work");
        let (db, done) = tokio::task::spawn_blocking(move || {
            let done = work(&mut db);
            (db, done)
        })
        .await?;
        self.db = Some(db);
        Ok(done?)
    }

    async fn standing(&mut self) -> Result<Option<Standing>, MoveError> {
        Ok(self.with(|db| standing::of_sqlite(db)).await??)
    }

    async fn put(&mut self, standing: Option<Standing>) -> Result<(), MoveError> {
        if Seeded::MoveUnfenced.is_on() {
            return Ok(());
        }
        self.with(move |db| standing::put_sqlite(db, standing.as_ref()))
            .await
    }
}

/// Puts up both fences. The id of the move that goes on; `None` if nothing is left to copy.
async fn begin(
    source: &mut Source,
    client: &mut tokio_postgres::Client,
    name: &str,
    id: Uuid,
    at: Timestamp,
) -> Result<Option<Uuid>, MoveError> {
    let there = standing::of_postgres(client).await?;
    let id = match source.standing().await? {
        Some(Standing::Left { move_id, to, .. }) => {
            return match there {
                Some(Standing::Arriving { move_id: id, .. }) if id == move_id => Ok(None),
                _ => Err(MoveError::Done { to }),
            };
        }
        // A file that a move fills: there is no such move.
        Some(Standing::Arriving { .. }) => return Err(MoveError::OtherMove),
        Some(Standing::Leaving { move_id, to, .. }) => {
            match &there {
                Some(Standing::Arriving { move_id: id, .. }) if *id == move_id => {
                    return Ok(Some(move_id));
                }
                Some(_) => return Err(MoveError::OtherMove),
                None if to != name => return Err(MoveError::OtherTarget { to }),
                None => {}
            }
            move_id
        }
        None if there.is_some() => return Err(MoveError::OtherMove),
        None => id,
    };
    for table in TABLES {
        if !postgres::is_empty(client, table).await? {
            return Err(MoveError::NotEmpty { table: table.name });
        }
    }
    let leaving = Standing::Leaving {
        move_id: id,
        to: name.to_owned(),
        at,
    };
    source.put(Some(leaving)).await?;
    let arriving = Standing::Arriving {
        move_id: id,
        at,
        place: None,
    };
    standing::put_postgres(client, Some(&arriving)).await?;
    Ok(Some(id))
}

async fn copy(
    source: &mut Source,
    client: &mut tokio_postgres::Client,
    move_id: Uuid,
    at: Timestamp,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), MoveError> {
    let place = match standing::of_postgres(client).await? {
        Some(Standing::Arriving { place, .. }) => place,
        _ => return Err(MoveError::OtherMove),
    };
    let (first, mut after) = match place {
        None => (0, None),
        Some(place) => {
            let (table, key) = place.resolve().ok_or(MoveError::UnknownPlace)?;
            (table, Some(key))
        }
    };
    for (index, table) in TABLES.iter().enumerate().skip(first) {
        let of = source.with(|db| sqlite::count(db, table)).await?;
        // Of a table that was begun before, those that are there already.
        let mut rows = match &after {
            Some(_) => count(client, table).await?,
            None => 0,
        };
        loop {
            let from = after.take();
            let batch = source
                .with(move |db| sqlite::batch(db, table, from.as_deref(), BATCH_ROWS, BATCH_WEIGHT))
                .await?;
            let Some(last) = batch.last() else {
                break;
            };
            let key = key_of(table, last);
            let transaction = client.transaction().await?;
            postgres::insert(&transaction, table, &batch, false).await?;
            let arriving = Standing::Arriving {
                move_id,
                at,
                place: Some(Place::new(index, &key)),
            };
            standing::put_postgres(&transaction, Some(&arriving)).await?;
            transaction.commit().await?;
            rows += batch.len() as u64;
            watch(Progress::Copied {
                table: table.name,
                rows,
                of,
            });
            after = Some(key);
        }
        after = None;
    }
    Ok(())
}

async fn count(client: &tokio_postgres::Client, table: &Table) -> Result<u64, MoveError> {
    let sql = format!("SELECT count(*) FROM {}", table.name);
    let row = client.query_one(&sql, &[]).await?;
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}

fn key_of(table: &Table, row: &Row) -> Vec<Cell> {
    let places = table.key.iter().filter_map(|name| table.place(name));
    places.map(|place| row[place].clone()).collect()
}

/// Reads every table on both sides.
async fn compare(
    source: &mut Source,
    client: &tokio_postgres::Client,
    watch: &mut (dyn FnMut(Progress) + Send),
    is_first_time: bool,
) -> Result<Moved, MoveError> {
    let mut moved = Moved {
        tables: TABLES.len(),
        rows: 0,
    };
    for table in TABLES {
        let here = source.with(|db| sqlite::sum(db, table)).await?;
        if is_first_time {
            let there: Sum = postgres::sum(client, table).await?;
            if here != there && !Seeded::MoveUncompared.is_on() {
                let content = if here.rows == there.rows {
                    ", of other content"
                } else {
                    ""
                };
                return Err(MoveError::Differs {
                    table: table.name,
                    here: here.rows,
                    there: there.rows,
                    content,
                });
            }
            watch(Progress::Checked {
                table: table.name,
                rows: here.rows,
            });
        }
        moved.rows += here.rows;
    }
    Ok(moved)
}

/// Lets servers in, and says so in every org's record.
async fn open_target(
    source: &mut Source,
    client: &mut tokio_postgres::Client,
    at: Timestamp,
) -> Result<(), MoveError> {
    // Numbers of deliveries that were swept away are not used again either.
    let last = source
        .with(|db| {
            let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'webhook_deliveries'";
            db.query_row(sql, [], |row| row.get::<_, i64>(0))
        })
        .await?;
    let entry = Entry {
        at,
        actor: Actor::Operator,
        deed: Deed::StoreMoved,
    };
    let entry = serde_json::to_string(&entry).expect("an entry becomes JSON");
    let transaction = client.transaction().await?;
    if last > 0 {
        let set = "SELECT setval(pg_get_serial_sequence('webhook_deliveries', 'seq'), $1)";
        transaction.query(set, &[&last]).await?;
    }
    let note = "SELECT append_audit_6(array_agg(org ORDER BY org), array_agg($1::text)) FROM orgs";
    transaction.query(note, &[&entry]).await?;
    standing::put_postgres(&transaction, None).await?;
    transaction.commit().await?;
    Ok(())
}
