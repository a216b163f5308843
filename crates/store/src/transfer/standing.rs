//! What a database is while it is moved into another, and afterwards: the fence that keeps servers out of the old one for
//! good and out of the new one until all is there.

use super::cell::Cell;
use super::tables::TABLES;
use crate::OpenError;
use domain::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::GenericClient;
use uuid::Uuid;

/// Nobody serves a database that has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Its content is being copied to `to`.
    Leaving {
        move_id: Uuid,
        to: String,
        at: Timestamp,
    },
    /// It lives at `to` now.
    Left {
        move_id: Uuid,
        to: String,
        at: Timestamp,
    },
    /// It is being filled from elsewhere.
    Arriving {
        move_id: Uuid,
        at: Timestamp,
        /// How far that is; `None` before the first row.
        place: Option<Place>,
    },
}

/// Rows up to this one are copied, and all of the tables that come before its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    table: String,
    key: Vec<Value>,
}

impl Place {
    pub(super) fn new(table: usize, key: &[Cell]) -> Self {
        Self {
            table: TABLES[table].name.to_owned(),
            key: key.iter().map(Cell::to_json).collect(),
        }
    }

    /// The table's index and the key; `None` if this program knows no such table or key.
    pub(super) fn resolve(&self) -> Option<(usize, Vec<Cell>)> {
        let index = TABLES.iter().position(|table| table.name == self.table)?;
        let table = &TABLES[index];
        let kinds = table
            .key
            .iter()
            .map(|name| Some(table.columns[table.place(name)?].kind));
        let key = kinds
            .zip(&self.key)
            .map(|(kind, value)| Cell::from_json(value, kind?))
            .collect::<Option<Vec<Cell>>>()?;
        (key.len() == table.key.len()).then_some((index, key))
    }
}

impl Standing {
    /// Why it must not be opened.
    fn refusal(self) -> OpenError {
        match self {
            Self::Leaving { to, .. } => OpenError::Leaving { to },
            Self::Left { to, at, .. } => OpenError::Left { to, at },
            Self::Arriving { .. } => OpenError::Arriving,
        }
    }
}

const GET: &str = "SELECT body FROM standing WHERE id = 1";
const DROP: &str = "DELETE FROM standing";
const PUT_SQLITE: &str = "INSERT INTO standing (id, body) VALUES (1, ?1)
    ON CONFLICT (id) DO UPDATE SET body = excluded.body";
const PUT_POSTGRES: &str = "INSERT INTO standing (id, body) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET body = excluded.body";

fn parsed(body: Option<String>) -> Result<Option<Standing>, OpenError> {
    let Some(body) = body else {
        return Ok(None);
    };
    let standing = serde_json::from_str(&body).map_err(|_| OpenError::UnknownStanding)?;
    Ok(Some(standing))
}

pub(crate) fn of_sqlite(db: &Connection) -> rusqlite::Result<Result<Option<Standing>, OpenError>> {
    let body = db.query_row(GET, [], |row| row.get(0)).optional()?;
    Ok(parsed(body))
}

/// # Errors
/// The refusal of a file that nobody may serve.
pub(crate) fn check_sqlite(db: &Connection) -> rusqlite::Result<Result<(), OpenError>> {
    Ok(match of_sqlite(db)? {
        Ok(None) => Ok(()),
        Ok(Some(standing)) => Err(standing.refusal()),
        Err(error) => Err(error),
    })
}

pub(super) fn put_sqlite(db: &Connection, standing: Option<&Standing>) -> rusqlite::Result<()> {
    match standing {
        Some(standing) => db.execute(PUT_SQLITE, params![body(standing)])?,
        None => db.execute(DROP, [])?,
    };
    Ok(())
}

pub(crate) async fn of_postgres<C: GenericClient>(
    client: &C,
) -> Result<Option<Standing>, OpenError> {
    let row = client.query_opt(GET, &[]).await;
    let row = row.map_err(OpenError::Postgres)?;
    let body = row.map(|row| row.try_get(0)).transpose();
    parsed(body.map_err(OpenError::Postgres)?)
}

/// # Errors
/// The refusal of a database that nobody may serve.
pub(crate) async fn check_postgres<C: GenericClient>(client: &C) -> Result<(), OpenError> {
    match of_postgres(client).await? {
        None => Ok(()),
        Some(standing) => Err(standing.refusal()),
    }
}

pub(super) async fn put_postgres<C: GenericClient>(
    client: &C,
    standing: Option<&Standing>,
) -> Result<(), tokio_postgres::Error> {
    match standing {
        Some(standing) => client.execute(PUT_POSTGRES, &[&body(standing)]).await?,
        None => client.execute(DROP, &[]).await?,
    };
    Ok(())
}

fn body(standing: &Standing) -> String {
    serde_json::to_string(standing).expect("texts, numbers and ids become JSON")
}
