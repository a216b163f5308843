//! Each org's record of decisions. Its head's row is the lock under which it grows; other orgs' are not waited for.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::{self, Column};
use crate::encode;
use async_trait::async_trait;
use domain::audit::{Entry, Head, Link};
use domain::ports::store::{AuditStore, StoreResult};
use domain::{OrgId, OrgScope};

statements! {
    APPEND_AUDIT = "SELECT append_audit_6($1, $2)";
    AUDIT_HEAD = "SELECT seq, hash FROM audit_heads WHERE org = $1";
    LIST_AUDIT = "SELECT seq, body, hash FROM audit_log WHERE org = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    LIST_ORGS = "SELECT org FROM orgs ORDER BY org";
    NOTE_FACT = "WITH known AS (SELECT value FROM server_facts WHERE name = $1),
        put AS (INSERT INTO server_facts (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value
            WHERE server_facts.value <> excluded.value RETURNING 1),
        told AS (SELECT append_audit_6(array_agg(org ORDER BY org), array_agg($3::text)) FROM orgs
            WHERE EXISTS (SELECT 1 FROM put) AND EXISTS (SELECT 1 FROM known) HAVING count(*) > 0)
        SELECT EXISTS (SELECT 1 FROM put) AND EXISTS (SELECT 1 FROM known), (SELECT count(*) FROM told)";
}

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append_audit(&self, scope: &OrgScope, entries: &[Entry]) -> StoreResult<()> {
        let bodies: Vec<String> = entries
            .iter()
            .map(encode::json)
            .collect::<StoreResult<_>>()?;
        let orgs = vec![scope.org().as_str(); bodies.len()];
        self.pool.write(APPEND_AUDIT, &[&orgs, &bodies]).await?;
        Ok(())
    }

    async fn list_audit(&self, scope: &OrgScope, after: u64, limit: u32) -> StoreResult<Vec<Link>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let org = scope.org().as_str();
        let rows = self
            .pool
            .read(LIST_AUDIT, &[&org, &after, &i64::from(limit)])
            .await?;
        rows.iter()
            .map(|row| decode::link(get(row, 0)?, get(row, 1)?, get(row, 2)?))
            .collect()
    }

    async fn audit_head(&self, scope: &OrgScope) -> StoreResult<Option<Head>> {
        let row = self
            .pool
            .read_one(AUDIT_HEAD, &[&scope.org().as_str()])
            .await?;
        match row {
            Some(row) => decode::head(get(&row, 0)?, get(&row, 1)?),
            None => Ok(None),
        }
    }

    async fn system_list_orgs(&self) -> StoreResult<Vec<OrgId>> {
        let rows = self.pool.read(LIST_ORGS, &[]).await?;
        rows.iter()
            .map(|row| decode::org(Column("orgs", "org"), get(row, 0)?))
            .collect()
    }

    async fn system_note_fact(&self, name: &str, value: &str, entry: &Entry) -> StoreResult<bool> {
        let body = encode::json(entry)?;
        let row = self
            .pool
            .write_one(NOTE_FACT, &[&name, &value, &body])
            .await?;
        get(&row, 0)
    }
}
