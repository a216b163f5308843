//! Grants: made and used by runs' transitions, read and revoked by people.

use super::fault::Work;
use super::threads::below;
use super::{SqliteStore, audit, statements};
use crate::decode::{self, Column, GrantBody};
use crate::encode::{self, Rows};
use async_trait::async_trait;
use domain::grant::{Grant, GrantScope, GrantUse};
use domain::key::Principal;
use domain::limits::{GRANT_USES_SHOWN_MAX, GRANTS_TRIED_MAX};
use domain::ports::store::{GrantStore, Page, StoreError, StoreResult};
use domain::seeded::Seeded;
use domain::{GrantId, OrgScope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

statements! {
    INSERT_GRANT = "INSERT INTO grants (org, id, agent_type, tool_name, tool_version, created_at, expires_at,
        uses_max, used, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)";
    CAN_USE = "SELECT uses_max - used FROM grants
        WHERE org = ?1 AND id = ?2 AND used < uses_max AND revoked_at IS NULL AND expires_at > ?3";
    USE_GRANT = "UPDATE grants SET used = used + 1 WHERE org = ?1 AND id = ?2";
    INSERT_USE = "INSERT INTO grant_uses (org, grant_id, run, step_index, used_at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    LIVE_GRANTS = "SELECT id, used, revoked_at, revoked_by, body FROM grants
        WHERE org = ?1 AND agent_type = ?2 AND tool_name = ?3 AND tool_version = ?4 AND expires_at > ?5
        AND revoked_at IS NULL AND used < uses_max ORDER BY created_at DESC LIMIT ?6";
    LIST_GRANTS = "SELECT id, used, revoked_at, revoked_by, body FROM grants
        WHERE org = ?1 AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4";
    GET_GRANT = "SELECT id, used, revoked_at, revoked_by, body FROM grants WHERE org = ?1 AND id = ?2";
    GRANT_USES = "SELECT body FROM grant_uses WHERE org = ?1 AND grant_id = ?2
        ORDER BY used_at DESC, run, step_index LIMIT ?3";
    REVOKE_GRANT = "UPDATE grants SET revoked_at = ?3, revoked_by = ?4
        WHERE org = ?1 AND id = ?2 AND revoked_at IS NULL";
}

fn grant_body(row: &Row<'_>) -> rusqlite::Result<GrantBody> {
    Ok(GrantBody {
        id: Uuid::from_bytes(row.get(0)?),
        used: row.get(1)?,
        revoked_at: row.get(2)?,
        revoked_by: row.get(3)?,
        body: row.get(4)?,
    })
}

/// Looks before anything is written, so that a transition which is refused leaves nothing to undo.
pub(super) fn can_use(db: &Connection, rows: &Rows) -> Work<()> {
    for (index, used) in rows.grant_uses.iter().enumerate() {
        let left: Option<i64> = db
            .prepare_cached(CAN_USE)?
            .query_row(
                params![rows.run.org, used.grant.as_bytes(), used.at],
                |row| row.get(0),
            )
            .optional()?;
        let before = rows.grant_uses[..index]
            .iter()
            .filter(|earlier| earlier.grant == used.grant);
        let before = i64::try_from(before.count()).unwrap_or(i64::MAX);
        if left.is_none_or(|left| left <= before) {
            return Err(StoreError::GrantGone.into());
        }
    }
    Ok(())
}

/// Writes what a transition makes and uses.
pub(super) fn write(db: &Connection, rows: &Rows) -> Work<()> {
    let org = &rows.run.org;
    for grant in &rows.grants {
        db.prepare_cached(INSERT_GRANT)?.execute(params![
            org,
            grant.id.as_bytes(),
            grant.agent_type,
            grant.tool_name,
            grant.tool_version,
            grant.created_at,
            grant.expires_at,
            grant.uses_max,
            grant.body,
        ])?;
    }
    for used in &rows.grant_uses {
        if !Seeded::GrantUncounted.is_on() {
            db.prepare_cached(USE_GRANT)?
                .execute(params![org, used.grant.as_bytes()])?;
        }
        db.prepare_cached(INSERT_USE)?.execute(params![
            org,
            used.grant.as_bytes(),
            rows.run.id.as_bytes(),
            used.step_index,
            used.at,
            used.body,
        ])?;
    }
    Ok(())
}

fn find(db: &Connection, org: &str, id: GrantId) -> Work<Option<Grant>> {
    let row = db
        .prepare_cached(GET_GRANT)?
        .query_row(params![org, id.uuid().as_bytes()], grant_body)
        .optional()?;
    Ok(row.map(Grant::try_from).transpose()?)
}

#[async_trait]
impl GrantStore for SqliteStore {
    async fn live_grants(
        &self,
        scope: &OrgScope,
        of: &GrantScope,
        at: Timestamp,
    ) -> StoreResult<Vec<Grant>> {
        let org = scope.org().as_str().to_owned();
        let of = of.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(LIVE_GRANTS)?;
            let rows = statement.query_map(
                params![
                    org,
                    of.agent_type,
                    of.tool_name,
                    of.tool_version,
                    at.as_micros(),
                    GRANTS_TRIED_MAX
                ],
                grant_body,
            )?;
            rows.map(|row| Ok(Grant::try_from(row?)?)).collect()
        })
        .await
    }

    async fn list_grants(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Grant>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let (at, id) = below(&page);
            let mut statement = db.prepare_cached(LIST_GRANTS)?;
            let rows = statement.query_map(params![org, at, id, page.limit], grant_body)?;
            rows.map(|row| Ok(Grant::try_from(row?)?)).collect()
        })
        .await
    }

    async fn get_grant(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Option<Grant>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| find(db, &org, id)).await
    }

    async fn grant_uses(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Vec<GrantUse>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(GRANT_USES)?;
            let mut rows =
                statement.query(params![org, id.uuid().as_bytes(), GRANT_USES_SHOWN_MAX])?;
            let mut uses = Vec::new();
            while let Some(row) = rows.next()? {
                let body: String = row.get(0)?;
                uses.push(decode::json(Column("grant_uses", "body"), id, &body)?);
            }
            Ok(uses)
        })
        .await
    }

    async fn revoke_grant(
        &self,
        scope: &OrgScope,
        id: GrantId,
        by: &Principal,
        at: Timestamp,
    ) -> StoreResult<Option<Grant>> {
        let org = scope.org().as_str().to_owned();
        let told = [encode::json(&Grant::revocation(id, by, at))?];
        let by = encode::json(by)?;
        self.write(move |db| {
            let changed = db.prepare_cached(REVOKE_GRANT)?.execute(params![
                org,
                id.uuid().as_bytes(),
                at.as_micros(),
                by
            ])?;
            if changed == 1 {
                audit::append(db, &org, &told)?;
            }
            find(db, &org, id)
        })
        .await
    }
}
