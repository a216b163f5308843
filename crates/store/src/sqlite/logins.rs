//! Sealed logins at MCP servers.

use super::{SqliteStore, statements};
use async_trait::async_trait;
use domain::Timestamp;
use domain::ports::logins::{LoginOf, LoginStore, SealedLogin};
use domain::ports::store::StoreResult;
use rusqlite::{OptionalExtension, params};
use std::time::Duration;
use uuid::Uuid;

statements! {
    FIND = "SELECT sealed, changed_at FROM mcp_logins WHERE server = ?1 AND org = ?2";
    PUT = "INSERT INTO mcp_logins (server, org, sealed, changed_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (server, org) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at,
            held_by = NULL, held_until = NULL";
    DELETE = "DELETE FROM mcp_logins WHERE server = ?1 AND org = ?2";
    HOLD = "UPDATE mcp_logins SET held_by = ?3, held_until = ?5
        WHERE server = ?1 AND org = ?2 AND (held_by IS NULL OR held_by = ?3 OR held_until <= ?4)";
    RENEW = "UPDATE mcp_logins SET sealed = ?4, changed_at = ?5, held_by = NULL, held_until = NULL
        WHERE server = ?1 AND org = ?2 AND held_by = ?3";
    RELEASE = "UPDATE mcp_logins SET held_by = NULL, held_until = NULL
        WHERE server = ?1 AND org = ?2 AND held_by = ?3";
}

fn key(of: &LoginOf) -> (String, String) {
    let org = of.org.as_ref().map(|org| org.as_str().to_owned());
    (of.server.clone(), org.unwrap_or_default())
}

#[async_trait]
impl LoginStore for SqliteStore {
    async fn system_find_login(&self, of: &LoginOf) -> StoreResult<Option<SealedLogin>> {
        let (server, org) = key(of);
        self.read(move |db| {
            let found = db
                .prepare_cached(FIND)?
                .query_row(params![server, org], |row| {
                    Ok(SealedLogin {
                        sealed: row.get(0)?,
                        changed_at: Timestamp::from_micros(row.get(1)?),
                    })
                })
                .optional()?;
            Ok(found)
        })
        .await
    }

    async fn system_put_login(&self, of: &LoginOf, login: &SealedLogin) -> StoreResult<()> {
        let ((server, org), login) = (key(of), login.clone());
        self.write(move |db| {
            let row = params![server, org, login.sealed, login.changed_at.as_micros()];
            db.prepare_cached(PUT)?.execute(row)?;
            Ok(())
        })
        .await
    }

    async fn system_delete_login(&self, of: &LoginOf) -> StoreResult<bool> {
        let (server, org) = key(of);
        self.write(move |db| {
            let deleted = db.prepare_cached(DELETE)?.execute(params![server, org])?;
            Ok(deleted > 0)
        })
        .await
    }

    async fn system_hold_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        lease: Duration,
    ) -> StoreResult<bool> {
        let ((server, org), leases) = (key(of), self.leases);
        self.write(move |db| {
            let now = leases.now();
            let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
            let until = now.saturating_add(lease);
            let row = params![server, org, holder.as_bytes(), now, until];
            Ok(db.prepare_cached(HOLD)?.execute(row)? > 0)
        })
        .await
    }

    async fn system_renew_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        login: &SealedLogin,
    ) -> StoreResult<bool> {
        let ((server, org), login) = (key(of), login.clone());
        self.write(move |db| {
            let at = login.changed_at.as_micros();
            let row = params![server, org, holder.as_bytes(), login.sealed, at];
            Ok(db.prepare_cached(RENEW)?.execute(row)? > 0)
        })
        .await
    }

    async fn system_release_login(&self, of: &LoginOf, holder: Uuid) -> StoreResult<()> {
        let (server, org) = key(of);
        self.write(move |db| {
            let row = params![server, org, holder.as_bytes()];
            db.prepare_cached(RELEASE)?.execute(row)?;
            Ok(())
        })
        .await
    }
}
