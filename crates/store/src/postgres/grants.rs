//! Grants: made and used by runs' transitions, read and revoked by people.

use super::hot::Commit;
use super::pool::{Guard, Pool, get};
use super::threads::below;
use super::{PostgresStore, statements};
use crate::decode::{self, Column, GrantBody};
use crate::encode::{self, GrantRow, GrantUseRow};
use async_trait::async_trait;
use domain::grant::{Grant, GrantScope, GrantUse};
use domain::key::Principal;
use domain::limits::{GRANT_USES_SHOWN_MAX, GRANTS_TRIED_MAX};
use domain::ports::store::{Committed, GrantStore, Page, StoreResult};
use domain::seeded::Seeded;
use domain::{GrantId, OrgScope, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

statements! {
    INSERT_GRANT = "INSERT INTO grants (org, id, agent_type, tool_name, tool_version, created_at, expires_at,
        uses_max, used, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9) RETURNING 1";
    USE_GRANT = "WITH used AS (UPDATE grants SET used = used + 1
            WHERE org = $1 AND id = $2 AND used < uses_max AND revoked_at IS NULL AND expires_at > $5 RETURNING id)
        INSERT INTO grant_uses (org, grant_id, run, step_index, used_at, body)
        SELECT $1, id, $3::uuid, $4::integer, $5, $6::text FROM used RETURNING 1";
    LIVE_GRANTS = "SELECT id, used, revoked_at, revoked_by, body FROM grants
        WHERE org = $1 AND agent_type = $2 AND tool_name = $3 AND tool_version = $4 AND expires_at > $5
        AND revoked_at IS NULL AND used < uses_max ORDER BY created_at DESC LIMIT $6";
    LIST_GRANTS = "SELECT id, used, revoked_at, revoked_by, body FROM grants
        WHERE org = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    GET_GRANT = "SELECT id, used, revoked_at, revoked_by, body FROM grants WHERE org = $1 AND id = $2";
    GRANT_USES = "SELECT body FROM grant_uses WHERE org = $1 AND grant_id = $2
        ORDER BY used_at DESC, run, step_index LIMIT $3";
    // Of two at once the later waits for the earlier and finds its words.
    REVOKE_GRANT = "WITH done AS (UPDATE grants SET revoked_at = coalesce(revoked_at, $3),
            revoked_by = CASE WHEN revoked_at IS NULL THEN $4 ELSE revoked_by END
            WHERE org = $1 AND id = $2 RETURNING id, used, revoked_at, revoked_by, body),
        told AS (SELECT append_audit_6(ARRAY[$1], ARRAY[$5::text]) FROM done
            WHERE revoked_at = $3 AND revoked_by = $4)
        SELECT id, used, revoked_at, revoked_by, body, (SELECT count(*) FROM told) FROM done";
}

fn grant(row: &Row) -> StoreResult<Grant> {
    Grant::try_from(GrantBody {
        id: get(row, 0)?,
        used: get(row, 1)?,
        revoked_at: get(row, 2)?,
        revoked_by: get(row, 3)?,
        body: get(row, 4)?,
    })
}

/// Commits a transition that makes or uses grants, apart from the shared statements: all of it or, where a grant is
/// gone or the run is not as expected, nothing. Grants are locked before the run, always in that order.
pub(super) async fn commit(pool: &Pool, commit: &Commit) -> StoreResult<Option<Committed>> {
    let (org, run) = (&commit.rows.run.org, &commit.rows.run.id);
    let made: Vec<[&(dyn ToSql + Sync); 9]> = commit
        .rows
        .grants
        .iter()
        .map(|grant| insert(org, grant))
        .collect();
    let used: Vec<[&(dyn ToSql + Sync); 6]> = commit
        .rows
        .grant_uses
        .iter()
        .filter(|_| !Seeded::GrantUncounted.is_on())
        .map(|used| count(org, run, used))
        .collect();
    let made = made.iter().map(|params| Guard {
        sql: INSERT_GRANT,
        params,
    });
    let used = used.iter().map(|params| Guard {
        sql: USE_GRANT,
        params,
    });
    let guards: Vec<Guard<'_>> = used.chain(made).collect();
    commit.write_guarded(pool, &guards).await
}

fn count<'a>(org: &'a String, run: &'a Uuid, used: &'a GrantUseRow) -> [&'a (dyn ToSql + Sync); 6] {
    [
        org,
        &used.grant,
        run,
        &used.step_index,
        &used.at,
        &used.body,
    ]
}

fn insert<'a>(org: &'a String, grant: &'a GrantRow) -> [&'a (dyn ToSql + Sync); 9] {
    [
        org,
        &grant.id,
        &grant.agent_type,
        &grant.tool_name,
        &grant.tool_version,
        &grant.created_at,
        &grant.expires_at,
        &grant.uses_max,
        &grant.body,
    ]
}

#[async_trait]
impl GrantStore for PostgresStore {
    async fn live_grants(
        &self,
        scope: &OrgScope,
        of: &GrantScope,
        at: Timestamp,
    ) -> StoreResult<Vec<Grant>> {
        let params: [&(dyn ToSql + Sync); 6] = [
            &scope.org().as_str(),
            &of.agent_type,
            &of.tool_name,
            &of.tool_version,
            &at.as_micros(),
            &i64::from(GRANTS_TRIED_MAX),
        ];
        let rows = self.pool.read(LIVE_GRANTS, &params).await?;
        rows.iter().map(grant).collect()
    }

    async fn list_grants(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Grant>> {
        let (at, id, limit) = below(&page);
        let params: [&(dyn ToSql + Sync); 4] = [&scope.org().as_str(), &at, &id, &limit];
        let rows = self.pool.read(LIST_GRANTS, &params).await?;
        rows.iter().map(grant).collect()
    }

    async fn get_grant(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Option<Grant>> {
        let params: [&(dyn ToSql + Sync); 2] = [&scope.org().as_str(), &id.uuid()];
        let row = self.pool.read_one(GET_GRANT, &params).await?;
        row.as_ref().map(grant).transpose()
    }

    async fn grant_uses(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Vec<GrantUse>> {
        let params: [&(dyn ToSql + Sync); 3] = [
            &scope.org().as_str(),
            &id.uuid(),
            &i64::from(GRANT_USES_SHOWN_MAX),
        ];
        let rows = self.pool.read(GRANT_USES, &params).await?;
        rows.iter()
            .map(|row| decode::json(Column("grant_uses", "body"), id, get(row, 0)?))
            .collect()
    }

    async fn revoke_grant(
        &self,
        scope: &OrgScope,
        id: GrantId,
        by: &Principal,
        at: Timestamp,
    ) -> StoreResult<Option<Grant>> {
        let told = encode::json(&Grant::revocation(id, by, at))?;
        let by = encode::json(by)?;
        let params: [&(dyn ToSql + Sync); 5] = [
            &scope.org().as_str(),
            &id.uuid(),
            &at.as_micros(),
            &by,
            &told,
        ];
        let rows = self.pool.write(REVOKE_GRANT, &params).await?;
        rows.first().map(grant).transpose()
    }
}
