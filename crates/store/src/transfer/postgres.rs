//! Rows of PostgreSQL.

use super::cell::{Cell, Kind, Row, Sum};
use super::tables::Table;
use bytes::BytesMut;
use futures::{TryStreamExt, pin_mut};
use std::error::Error;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, GenericClient, Transaction};
use uuid::Uuid;

type PgResult<T> = Result<T, tokio_postgres::Error>;

impl ToSql for Cell {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Bool(is) => is.to_sql(ty, out),
            Self::Uuid(id) => id.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    /// Whether value and column go together is for the list of tables to say.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Text => Type::TEXT,
        Kind::Int => Type::INT8,
        Kind::Int4 => Type::INT4,
        Kind::Bool => Type::BOOL,
        Kind::Uuid => Type::UUID,
        Kind::Bytes => Type::BYTEA,
    }
}

fn cell(row: &tokio_postgres::Row, place: usize, kind: Kind) -> PgResult<Cell> {
    Ok(match kind {
        Kind::Text => row.try_get::<_, Option<String>>(place)?.map(Cell::Text),
        Kind::Int => row.try_get::<_, Option<i64>>(place)?.map(Cell::Int),
        Kind::Int4 => row
            .try_get::<_, Option<i32>>(place)?
            .map(|number| Cell::Int(number.into())),
        Kind::Bool => row.try_get::<_, Option<bool>>(place)?.map(Cell::Bool),
        Kind::Uuid => row.try_get::<_, Option<Uuid>>(place)?.map(Cell::Uuid),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Cell::Bytes),
    }
    .unwrap_or(Cell::Null))
}

fn cells(row: &tokio_postgres::Row, table: &Table) -> PgResult<Row> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(place, column)| cell(row, place, column.kind))
        .collect()
}

pub(super) async fn is_empty<C: GenericClient>(client: &C, table: &Table) -> PgResult<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
    let row = client.query_one(&sql, &[]).await?;
    Ok(!row.try_get::<_, bool>(0)?)
}

/// Reads every row; never more than a few are in memory.
pub(super) async fn sum(client: &Client, table: &Table) -> PgResult<Sum> {
    let sql = format!("SELECT {} FROM {}", table.listed(), table.name);
    let nothing: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(&sql, nothing).await?;
    pin_mut!(rows);
    let mut sum = Sum::default();
    while let Some(row) = rows.try_next().await? {
        sum.add(&cells(&row, table)?);
    }
    Ok(sum)
}

/// The rows for which the condition holds, in the order of the key.
pub(super) async fn select(
    transaction: &Transaction<'_>,
    table: &Table,
    condition: &[(&str, Cell)],
) -> PgResult<Vec<Row>> {
    let sql = table.selection(condition, '$');
    let values: Vec<&(dyn ToSql + Sync)> = condition
        .iter()
        .map(|(_, value)| value as &(dyn ToSql + Sync))
        .collect();
    let rows = transaction.query(&sql, &values).await?;
    rows.iter().map(|row| cells(row, table)).collect()
}

/// Adds many rows. One whose key is taken is an error.
pub(super) async fn copy_in(
    transaction: &Transaction<'_>,
    table: &Table,
    rows: &[Row],
) -> PgResult<()> {
    let sql = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.listed());
    let sink = transaction.copy_in(&sql).await?;
    let types: Vec<Type> = table
        .columns
        .iter()
        .map(|column| type_of(column.kind))
        .collect();
    let writer = BinaryCopyInWriter::new(sink, &types);
    pin_mut!(writer);
    for row in rows {
        let values: Vec<&(dyn ToSql + Sync)> =
            row.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        writer.as_mut().write(&values).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// Adds rows. One whose key is taken is an error, or is left out where `lenient`.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    table: &Table,
    rows: &[Row],
    lenient: bool,
) -> PgResult<()> {
    if !lenient {
        return copy_in(transaction, table, rows).await;
    }
    let places: Vec<String> = (1..=table.columns.len())
        .map(|place| format!("${place}"))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        table.name,
        table.listed(),
        places.join(", ")
    );
    for row in rows {
        let values: Vec<&(dyn ToSql + Sync)> =
            row.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        transaction.execute(&sql, &values).await?;
    }
    Ok(())
}
