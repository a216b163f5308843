//! Each org's record of decisions. The writer thread is the only one that adds, so a chain never forks.

use super::fault::Work;
use super::{SqliteStore, statements};
use crate::audit::{START, next};
use crate::decode::{self, Column};
use crate::encode;
use async_trait::async_trait;
use domain::audit::{Entry, Head, Link};
use domain::ports::store::{AuditStore, StoreResult};
use domain::seeded::Seeded;
use domain::{OrgId, OrgScope};
use rusqlite::{Connection, OptionalExtension, params};

statements! {
    AUDIT_HEAD = "SELECT seq, hash FROM audit_heads WHERE org = ?1";
    MOVE_AUDIT_HEAD = "INSERT INTO audit_heads (org, seq, hash) VALUES (?1, ?2, ?3)
        ON CONFLICT (org) DO UPDATE SET seq = excluded.seq, hash = excluded.hash";
    INSERT_AUDIT = "INSERT INTO audit_log (org, seq, body, hash) VALUES (?1, ?2, ?3, ?4)";
    LIST_AUDIT = "SELECT seq, body, hash FROM audit_log WHERE org = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    LIST_ORGS = "SELECT org FROM orgs ORDER BY org";
    GET_FACT = "SELECT value FROM server_facts WHERE name = ?1";
    PUT_FACT = "INSERT INTO server_facts (name, value) VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}

/// Adds texts to the org's chain, in order.
pub(crate) fn append(db: &Connection, org: &str, bodies: &[String]) -> Work<()> {
    if bodies.is_empty() {
        return Ok(());
    }
    let mut at = head(db, org)?.unwrap_or(START);
    for body in bodies {
        at = next(at, body);
        let seq = at.seq.cast_signed();
        if seq > 1 && Seeded::AuditEntryLost.is_on() {
            continue;
        }
        db.prepare_cached(INSERT_AUDIT)?
            .execute(params![org, seq, body, at.hash])?;
    }
    db.prepare_cached(MOVE_AUDIT_HEAD)?
        .execute(params![org, at.seq.cast_signed(), at.hash])?;
    Ok(())
}

fn head(db: &Connection, org: &str) -> Work<Option<Head>> {
    let found: Option<(i64, Vec<u8>)> = db
        .prepare_cached(AUDIT_HEAD)?
        .query_row(params![org], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((seq, hash)) => Ok(decode::head(seq, hash)?),
        None => Ok(None),
    }
}

fn orgs(db: &Connection) -> Work<Vec<String>> {
    let mut statement = db.prepare_cached(LIST_ORGS)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append_audit(&self, scope: &OrgScope, entries: &[Entry]) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let bodies: Vec<String> = entries
            .iter()
            .map(encode::json)
            .collect::<StoreResult<_>>()?;
        self.write(move |db| append(db, &org, &bodies)).await
    }

    async fn list_audit(&self, scope: &OrgScope, after: u64, limit: u32) -> StoreResult<Vec<Link>> {
        let org = scope.org().as_str().to_owned();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.read(move |db| {
            let mut statement = db.prepare_cached(LIST_AUDIT)?;
            let mut rows = statement.query(params![org, after, limit])?;
            let mut links = Vec::new();
            while let Some(row) = rows.next()? {
                links.push(decode::link(row.get(0)?, row.get(1)?, row.get(2)?)?);
            }
            Ok(links)
        })
        .await
    }

    async fn audit_head(&self, scope: &OrgScope) -> StoreResult<Option<Head>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| head(db, &org)).await
    }

    async fn system_list_orgs(&self) -> StoreResult<Vec<OrgId>> {
        self.read(|db| {
            let names = orgs(db)?;
            let org = |name: &String| decode::org(Column("orgs", "org"), name);
            Ok(names.iter().map(org).collect::<StoreResult<_>>()?)
        })
        .await
    }

    async fn system_note_fact(&self, name: &str, value: &str, entry: &Entry) -> StoreResult<bool> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let body = vec![encode::json(entry)?];
        self.write(move |db| {
            let known: Option<String> = db
                .prepare_cached(GET_FACT)?
                .query_row(params![name], |row| row.get(0))
                .optional()?;
            if known.as_ref() == Some(&value) {
                return Ok(false);
            }
            db.prepare_cached(PUT_FACT)?.execute(params![name, value])?;
            if known.is_none() {
                return Ok(false);
            }
            for org in orgs(db)? {
                append(db, &org, &body)?;
            }
            Ok(true)
        })
        .await
    }
}
