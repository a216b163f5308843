//! Sealed logins at MCP servers.

use super::pool::get;
use super::{PostgresStore, db_now, statements};
use async_trait::async_trait;
use domain::Timestamp;
use domain::ports::logins::{LoginOf, LoginStore, SealedLogin};
use domain::ports::store::StoreResult;
use std::time::Duration;
use uuid::Uuid;

statements! {
    FIND = "SELECT sealed, changed_at FROM mcp_logins WHERE server = $1 AND org = $2";
    PUT = "INSERT INTO mcp_logins (server, org, sealed, changed_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (server, org) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at,
            held_by = NULL, held_until = NULL";
    DELETE = "DELETE FROM mcp_logins WHERE server = $1 AND org = $2 RETURNING 1";
    HOLD = concat!("UPDATE mcp_logins SET held_by = $3, held_until = ", db_now!(), " + $4
        WHERE server = $1 AND org = $2 AND (held_by IS NULL OR held_by = $3 OR held_until <= ", db_now!(), ")
        RETURNING 1");
    RENEW = "UPDATE mcp_logins SET sealed = $4, changed_at = $5, held_by = NULL, held_until = NULL
        WHERE server = $1 AND org = $2 AND held_by = $3 RETURNING 1";
    RELEASE = "UPDATE mcp_logins SET held_by = NULL, held_until = NULL
        WHERE server = $1 AND org = $2 AND held_by = $3";
}

fn org(of: &LoginOf) -> &str {
    of.org.as_ref().map_or("", |org| org.as_str())
}

#[async_trait]
impl LoginStore for PostgresStore {
    async fn system_find_login(&self, of: &LoginOf) -> StoreResult<Option<SealedLogin>> {
        let row = self.pool.read_one(FIND, &[&of.server, &org(of)]).await?;
        row.map(|row| {
            Ok(SealedLogin {
                sealed: get(&row, 0)?,
                changed_at: Timestamp::from_micros(get(&row, 1)?),
            })
        })
        .transpose()
    }

    async fn system_put_login(&self, of: &LoginOf, login: &SealedLogin) -> StoreResult<()> {
        let at = login.changed_at.as_micros();
        self.pool
            .write(PUT, &[&of.server, &org(of), &login.sealed, &at])
            .await?;
        Ok(())
    }

    async fn system_delete_login(&self, of: &LoginOf) -> StoreResult<bool> {
        let rows = self.pool.write(DELETE, &[&of.server, &org(of)]).await?;
        Ok(!rows.is_empty())
    }

    async fn system_hold_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        lease: Duration,
    ) -> StoreResult<bool> {
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let rows = self
            .pool
            .write(HOLD, &[&of.server, &org(of), &holder, &lease])
            .await?;
        Ok(!rows.is_empty())
    }

    async fn system_renew_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        login: &SealedLogin,
    ) -> StoreResult<bool> {
        let at = login.changed_at.as_micros();
        let rows = self
            .pool
            .write(RENEW, &[&of.server, &org(of), &holder, &login.sealed, &at])
            .await?;
        Ok(!rows.is_empty())
    }

    async fn system_release_login(&self, of: &LoginOf, holder: Uuid) -> StoreResult<()> {
        self.pool
            .write(RELEASE, &[&of.server, &org(of), &holder])
            .await?;
        Ok(())
    }
}
