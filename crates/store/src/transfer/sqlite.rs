//! Rows of the file.

use super::cell::{Cell, Kind, Row, Sum};
use super::tables::Table;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use uuid::Uuid;

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Int(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Bool(is) => ToSqlOutput::Owned(Value::Integer(i64::from(*is))),
            Self::Uuid(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn cell(row: &rusqlite::Row<'_>, place: usize, kind: Kind) -> rusqlite::Result<Cell> {
    Ok(match kind {
        Kind::Text => row.get::<_, Option<String>>(place)?.map(Cell::Text),
        Kind::Int | Kind::Int4 => row.get::<_, Option<i64>>(place)?.map(Cell::Int),
        Kind::Bool => row.get::<_, Option<bool>>(place)?.map(Cell::Bool),
        Kind::Uuid => row
            .get::<_, Option<[u8; 16]>>(place)?
            .map(|bytes| Cell::Uuid(Uuid::from_bytes(bytes))),
        Kind::Bytes => row.get::<_, Option<Vec<u8>>>(place)?.map(Cell::Bytes),
    }
    .unwrap_or(Cell::Null))
}

fn cells(row: &rusqlite::Row<'_>, table: &Table) -> rusqlite::Result<Row> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(place, column)| cell(row, place, column.kind))
        .collect()
}

/// `?1, ?2, …`
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("?{place}")).collect();
    places.join(", ")
}

pub(super) fn count(db: &Connection, table: &Table) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", table.name);
    let count: i64 = db.query_row(&sql, [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

pub(super) fn sum(db: &Connection, table: &Table) -> rusqlite::Result<Sum> {
    let sql = format!("SELECT {} FROM {}", table.listed(), table.name);
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        sum.add(&cells(row, table)?);
    }
    Ok(sum)
}

/// The rows after the one with this key, in the order of the key, until they weigh enough.
pub(super) fn batch(
    db: &Connection,
    table: &Table,
    after: Option<&[Cell]>,
    rows_max: usize,
    weight_max: usize,
) -> rusqlite::Result<Vec<Row>> {
    let key = table.key.join(", ");
    let beyond = match after {
        Some(_) => format!("WHERE ({key}) > ({})", places(table.key.len())),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {} {beyond} ORDER BY {key} LIMIT {rows_max}",
        table.listed(),
        table.name
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(after.unwrap_or_default()))?;
    let (mut found, mut weight) = (Vec::new(), 0);
    while weight < weight_max
        && let Some(row) = rows.next()?
    {
        let row = cells(row, table)?;
        weight += row.iter().map(Cell::weight).sum::<usize>();
        found.push(row);
    }
    Ok(found)
}

/// The rows for which the condition holds, in the order of the key.
pub(super) fn select(
    db: &Connection,
    table: &Table,
    condition: &[(&str, Cell)],
) -> rusqlite::Result<Vec<Row>> {
    let sql = table.selection(condition, '?');
    let mut statement = db.prepare(&sql)?;
    let values = condition.iter().map(|(_, value)| value);
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(cells(row, table)?);
    }
    Ok(found)
}

/// Adds rows. One whose key is taken is an error, or is left out where `lenient`.
pub(super) fn insert(
    db: &Connection,
    table: &Table,
    rows: &[Row],
    lenient: bool,
) -> rusqlite::Result<()> {
    let or = if lenient {
        "ON CONFLICT DO NOTHING"
    } else {
        ""
    };
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) {or}",
        table.name,
        table.listed(),
        places(table.columns.len())
    );
    let mut statement = db.prepare(&sql)?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}
