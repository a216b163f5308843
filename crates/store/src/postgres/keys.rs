//! API keys.

use super::pool::{Guard, get};
use super::{PostgresStore, statements};
use crate::decode::{self, KeyRow};
use crate::encode;
use async_trait::async_trait;
use domain::audit::Entry;
use domain::key::{Key, KeyDigest};
use domain::ports::store::{KeyStore, StoreError, StoreResult};
use domain::{KeyId, OrgId, OrgScope, RunId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

statements! {
    INSERT_KEY = "WITH org AS (
            INSERT INTO orgs (org, created_at) VALUES ($1, $7) ON CONFLICT (org) DO NOTHING)
        INSERT INTO api_keys
        (org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (digest) DO NOTHING RETURNING 1";
    CREATE_KEY = "WITH org AS (
            INSERT INTO orgs (org, created_at) VALUES ($1, $7) ON CONFLICT (org) DO NOTHING),
        made AS (INSERT INTO api_keys
            (org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (digest) DO NOTHING RETURNING 1)
        SELECT append_audit_6(ARRAY[$1], ARRAY[$11::text]) FROM made";
    LOCK_FIRST_OWNER = "SELECT pg_advisory_xact_lock($1)";
    CREATE_FIRST_OWNER = "WITH made AS (INSERT INTO api_keys
            (org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
            WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE role = 'owner')
            ON CONFLICT (digest) DO NOTHING RETURNING 1),
        org AS (INSERT INTO orgs (org, created_at) SELECT $1, $7 FROM made ON CONFLICT (org) DO NOTHING)
        SELECT append_audit_6(ARRAY[$1], ARRAY[$11::text]) FROM made";
    LIST_KEYS = "SELECT org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at
        FROM api_keys WHERE org = $1 AND session IS NULL ORDER BY created_at DESC, id DESC";
    REVOKE_KEY = "WITH known AS (SELECT 1 FROM api_keys WHERE org = $1 AND id = $2),
        done AS (UPDATE api_keys SET revoked_at = $3 WHERE org = $1 AND id = $2 AND revoked_at IS NULL RETURNING 1),
        told AS (SELECT append_audit_6(ARRAY[$1], ARRAY[$4::text]) FROM done)
        SELECT EXISTS (SELECT 1 FROM known), (SELECT count(*) FROM told)";
    REVOKE_SESSION_KEYS = "UPDATE api_keys SET revoked_at = $3
        WHERE org = $1 AND session = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)
        RETURNING id";
    SWEEP_SESSION_KEYS = "WITH swept AS (
            DELETE FROM api_keys WHERE session IS NOT NULL AND expires_at < $1 RETURNING 1)
        SELECT count(*) FROM swept";
    FIND_KEY = "SELECT org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at
        FROM api_keys WHERE digest = $1";
    TOUCH_KEYS = "UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at)
        FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS used (org, id, at)
        WHERE api_keys.org = used.org AND api_keys.id = used.id";
    HAS_OWNER = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE role = 'owner')";
}

/// Names the lock under which the first owner is made; any number that nobody else uses.
const FIRST_OWNER_LOCK: i64 = 0x7275_6e79_6172_6432;

/// What a key is put in for.
enum Put<'a> {
    Unrecorded,
    /// With the record of it.
    Recorded(&'a str),
    /// Recorded, and only where there is no owner.
    FirstOwner(&'a str),
}

fn key(row: &Row) -> StoreResult<Key> {
    Key::try_from(KeyRow {
        org: get(row, 0)?,
        id: get(row, 1)?,
        name: get(row, 2)?,
        role: get(row, 3)?,
        digest: get(row, 4)?,
        session: get(row, 5)?,
        created_at: get(row, 6)?,
        expires_at: get(row, 7)?,
        revoked_at: get(row, 8)?,
        last_used_at: get(row, 9)?,
    })
}

impl PostgresStore {
    /// The rows that were written: none where the key's digest, or for a first owner any owner, is there already.
    async fn put_key(&self, scope: &OrgScope, key: &Key, put: Put<'_>) -> StoreResult<Vec<Row>> {
        let org = scope.org().as_str();
        let id = key.id.uuid();
        let role = key.role.as_str();
        let digest = key.digest.0.as_slice();
        let session = key.session.map(|id| id.uuid());
        let created_at = key.created_at.as_micros();
        let expires_at = key.expires_at.map(Timestamp::as_micros);
        let revoked_at = key.revoked_at.map(Timestamp::as_micros);
        let last_used_at = key.last_used_at.map(Timestamp::as_micros);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![
            &org,
            &id,
            &key.name,
            &role,
            &digest,
            &session,
            &created_at,
            &expires_at,
            &revoked_at,
            &last_used_at,
        ];
        match &put {
            Put::Unrecorded => self.pool.write(INSERT_KEY, &params).await,
            Put::Recorded(body) => {
                params.push(body);
                self.pool.write(CREATE_KEY, &params).await
            }
            Put::FirstOwner(body) => {
                params.push(body);
                // Whoever waited for the lock looks for an owner after it has it, in a statement of its own.
                let lock = Guard {
                    sql: LOCK_FIRST_OWNER,
                    params: &[&FIRST_OWNER_LOCK],
                };
                self.pool
                    .write_guarded(&[lock], CREATE_FIRST_OWNER, &params)
                    .await
            }
        }
    }

    /// A key that is there already is taken for the same request made again, which is recorded once.
    async fn put_once(&self, scope: &OrgScope, key: &Key, put: Put<'_>) -> StoreResult<()> {
        if !self.put_key(scope, key, put).await?.is_empty() {
            return Ok(());
        }
        decode::same_key(key, self.system_find_key(&key.digest).await?)
    }
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn insert_key(&self, scope: &OrgScope, key: &Key) -> StoreResult<()> {
        self.put_once(scope, key, Put::Unrecorded).await
    }

    async fn create_key(&self, scope: &OrgScope, key: &Key, entry: &Entry) -> StoreResult<()> {
        let body = encode::json(entry)?;
        self.put_once(scope, key, Put::Recorded(&body)).await
    }

    async fn system_create_first_owner(&self, key: &Key, entry: &Entry) -> StoreResult<bool> {
        let scope = OrgScope::new(key.org.clone());
        let body = encode::json(entry)?;
        let made = self.put_key(&scope, key, Put::FirstOwner(&body)).await?;
        if !made.is_empty() {
            return Ok(true);
        }
        if self.system_has_owner().await? {
            return Ok(false);
        }
        // The digest is that of another's key.
        decode::same_key(key, self.system_find_key(&key.digest).await?)?;
        Ok(false)
    }

    async fn list_keys(&self, scope: &OrgScope) -> StoreResult<Vec<Key>> {
        let rows = self.pool.read(LIST_KEYS, &[&scope.org().as_str()]).await?;
        rows.iter().map(key).collect()
    }

    async fn revoke_key(
        &self,
        scope: &OrgScope,
        id: KeyId,
        at: Timestamp,
        entry: &Entry,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str();
        let body = encode::json(entry)?;
        let row = self
            .pool
            .write_one(REVOKE_KEY, &[&org, &id.uuid(), &at.as_micros(), &body])
            .await?;
        get(&row, 0)
    }

    async fn revoke_session_keys(
        &self,
        scope: &OrgScope,
        session: RunId,
        at: Timestamp,
    ) -> StoreResult<Vec<KeyId>> {
        let org = scope.org().as_str();
        let rows = self
            .pool
            .write(
                REVOKE_SESSION_KEYS,
                &[&org, &session.uuid(), &at.as_micros()],
            )
            .await?;
        rows.iter()
            .map(|row| Ok(KeyId::new(get(row, 0)?)))
            .collect()
    }

    async fn system_sweep_session_keys(&self, before: Timestamp) -> StoreResult<u64> {
        let row = self
            .pool
            .write_one(SWEEP_SESSION_KEYS, &[&before.as_micros()])
            .await?;
        let swept: i64 = get(&row, 0)?;
        Ok(swept.unsigned_abs())
    }

    async fn system_find_key(&self, digest: &KeyDigest) -> StoreResult<Option<Key>> {
        let row = self
            .pool
            .read_one(FIND_KEY, &[&digest.0.as_slice()])
            .await?;
        row.as_ref().map(key).transpose()
    }

    async fn system_touch_keys(&self, used: &[(OrgId, KeyId, Timestamp)]) -> StoreResult<()> {
        let orgs: Vec<&str> = used.iter().map(|(org, _, _)| org.as_str()).collect();
        let ids: Vec<Uuid> = used.iter().map(|(_, id, _)| id.uuid()).collect();
        let times: Vec<i64> = used.iter().map(|(_, _, at)| at.as_micros()).collect();
        self.pool.write(TOUCH_KEYS, &[&orgs, &ids, &times]).await?;
        Ok(())
    }

    async fn system_has_owner(&self) -> StoreResult<bool> {
        let row = self.pool.read_one(HAS_OWNER, &[]).await?;
        let row = row.ok_or_else(|| StoreError::Rejected("EXISTS without a row".into()))?;
        get(&row, 0)
    }
}
