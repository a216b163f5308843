//! API keys.

use super::fault::Work;
use super::{SqliteStore, audit, statements};
use crate::decode::{self, KeyRow};
use crate::encode;
use async_trait::async_trait;
use domain::audit::Entry;
use domain::key::{Key, KeyDigest};
use domain::ports::store::{KeyStore, StoreResult};
use domain::{KeyId, OrgId, OrgScope, RunId, Timestamp};
use rusqlite::{Row, params};
use uuid::Uuid;

statements! {
    INSERT_ORG = "INSERT INTO orgs (org, created_at) VALUES (?1, ?2) ON CONFLICT (org) DO NOTHING";
    INSERT_KEY = "INSERT INTO api_keys
        (org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (digest) DO NOTHING";
    LIST_KEYS = "SELECT org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at
        FROM api_keys WHERE org = ?1 AND session IS NULL ORDER BY created_at DESC, id DESC";
    REVOKE_KEY = "UPDATE api_keys SET revoked_at = ?3 WHERE org = ?1 AND id = ?2 AND revoked_at IS NULL";
    HAS_KEY = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE org = ?1 AND id = ?2)";
    REVOKE_SESSION_KEYS = "UPDATE api_keys SET revoked_at = ?3
        WHERE org = ?1 AND session = ?2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)
        RETURNING id";
    SWEEP_SESSION_KEYS = "DELETE FROM api_keys WHERE session IS NOT NULL AND expires_at < ?1";
    FIND_KEY = "SELECT org, id, name, role, digest, session, created_at, expires_at, revoked_at, last_used_at
        FROM api_keys WHERE digest = ?1";
    TOUCH_KEY = "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, ?3), ?3)
        WHERE org = ?1 AND id = ?2";
    HAS_OWNER = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE role = 'owner')";
}

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        org: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        name: row.get(2)?,
        role: row.get(3)?,
        digest: row.get(4)?,
        session: row.get::<_, Option<_>>(5)?.map(Uuid::from_bytes),
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
        revoked_at: row.get(8)?,
        last_used_at: row.get(9)?,
    })
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn insert_key(&self, scope: &OrgScope, key: &Key) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let key = key.clone();
        self.write(move |db| insert(db, &org, &key, &[])).await
    }

    async fn create_key(&self, scope: &OrgScope, key: &Key, entry: &Entry) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let key = key.clone();
        let body = [encode::json(entry)?];
        self.write(move |db| insert(db, &org, &key, &body)).await
    }

    async fn system_create_first_owner(&self, key: &Key, entry: &Entry) -> StoreResult<bool> {
        let key = key.clone();
        let body = [encode::json(entry)?];
        self.write(move |db| {
            if has_owner(db)? {
                return Ok(false);
            }
            insert(db, key.org.as_str(), &key, &body)?;
            Ok(true)
        })
        .await
    }

    async fn list_keys(&self, scope: &OrgScope) -> StoreResult<Vec<Key>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(LIST_KEYS)?;
            let rows = statement.query_map(params![org], key_row)?;
            let mut keys = Vec::new();
            for row in rows {
                keys.push(Key::try_from(row?)?);
            }
            Ok(keys)
        })
        .await
    }

    async fn revoke_key(
        &self,
        scope: &OrgScope,
        id: KeyId,
        at: Timestamp,
        entry: &Entry,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str().to_owned();
        let body = [encode::json(entry)?];
        self.write(move |db| {
            let id = id.uuid();
            let changed = db.prepare_cached(REVOKE_KEY)?.execute(params![
                org,
                id.as_bytes(),
                at.as_micros()
            ])?;
            if changed == 1 {
                audit::append(db, &org, &body)?;
                return Ok(true);
            }
            let known = db
                .prepare_cached(HAS_KEY)?
                .query_row(params![org, id.as_bytes()], |row| row.get(0))?;
            Ok(known)
        })
        .await
    }

    async fn revoke_session_keys(
        &self,
        scope: &OrgScope,
        session: RunId,
        at: Timestamp,
    ) -> StoreResult<Vec<KeyId>> {
        let org = scope.org().as_str().to_owned();
        self.write(move |db| {
            let mut statement = db.prepare_cached(REVOKE_SESSION_KEYS)?;
            let session = session.uuid().into_bytes();
            let rows = statement.query_map(params![org, session, at.as_micros()], |row| {
                Ok(KeyId::new(Uuid::from_bytes(row.get(0)?)))
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn system_sweep_session_keys(&self, before: Timestamp) -> StoreResult<u64> {
        self.write(move |db| {
            let mut statement = db.prepare_cached(SWEEP_SESSION_KEYS)?;
            Ok(statement.execute(params![before.as_micros()])? as u64)
        })
        .await
    }

    async fn system_find_key(&self, digest: &KeyDigest) -> StoreResult<Option<Key>> {
        let digest = digest.0;
        self.read(move |db| find(db, &digest)).await
    }

    async fn system_touch_keys(&self, used: &[(OrgId, KeyId, Timestamp)]) -> StoreResult<()> {
        let used = used.to_vec();
        self.write(move |db| {
            let mut statement = db.prepare_cached(TOUCH_KEY)?;
            for (org, id, at) in &used {
                statement.execute(params![org.as_str(), id.uuid().as_bytes(), at.as_micros()])?;
            }
            Ok(())
        })
        .await
    }

    async fn system_has_owner(&self) -> StoreResult<bool> {
        self.read(has_owner).await
    }
}

fn has_owner(db: &rusqlite::Connection) -> Work<bool> {
    let mut statement = db.prepare_cached(HAS_OWNER)?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// A key that is there already is taken for the same request made again, which is recorded once.
fn insert(db: &rusqlite::Connection, org: &str, key: &Key, audit: &[String]) -> Work<()> {
    let created_at = key.created_at.as_micros();
    db.prepare_cached(INSERT_ORG)?
        .execute(params![org, created_at])?;
    let inserted = db.prepare_cached(INSERT_KEY)?.execute(params![
        org,
        key.id.uuid().as_bytes(),
        key.name,
        key.role.as_str(),
        key.digest.0,
        key.session.map(|id| id.uuid().into_bytes()),
        created_at,
        key.expires_at.map(Timestamp::as_micros),
        key.revoked_at.map(Timestamp::as_micros),
        key.last_used_at.map(Timestamp::as_micros),
    ])?;
    if inserted == 1 {
        return audit::append(db, org, audit);
    }
    Ok(decode::same_key(key, find(db, &key.digest.0)?)?)
}

fn find(db: &rusqlite::Connection, digest: &[u8; 32]) -> Work<Option<Key>> {
    let mut statement = db.prepare_cached(FIND_KEY)?;
    let row = statement
        .query_map(params![digest], key_row)?
        .next()
        .transpose()?;
    Ok(row.map(Key::try_from).transpose()?)
}
