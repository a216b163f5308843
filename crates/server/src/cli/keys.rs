//! `runyard keys`: API keys, made, listed and revoked in the store itself, also while a server runs on it.

use super::terminal::{note, say};
use super::{Context, Failure, Outcome};
use crate::clock::{StoreClock, SystemClock};
use crate::config::{self, Places};
use crate::first_start::ORG;
use crate::keys::Secret;
use crate::serve;
use clap::Subcommand;
use comfy_table::Table;
use domain::audit::{Actor, Deed, Entry};
use domain::key::{Key, KeyDigest, Role};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreError};
use domain::{KeyId, OrgId, OrgScope, Timestamp};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key, and its org if that is new; the key is shown this once
    Create {
        /// What the key is for
        #[arg(long)]
        name: String,
        #[arg(long, default_value = ORG)]
        org: String,
        /// owner, developer, approver or viewer
        #[arg(long, default_value = "developer")]
        role: String,
        /// Days until the key stops working
        #[arg(long, value_name = "DAYS")]
        expires_in: Option<u32>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
    /// List an org's keys; none of them can be shown again
    List {
        #[arg(long, default_value = ORG)]
        org: String,
        /// Print one line of JSON a key
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Stop a key from working
    Revoke {
        /// The key's id, as `keys list` shows it
        id: String,
        #[arg(long, default_value = ORG)]
        org: String,
        #[command(flatten)]
        places: Places,
    },
}

/// The roles that a key may be made with; `session` keys are made by sessions.
const ROLES: [Role; 4] = [Role::Owner, Role::Developer, Role::Approver, Role::Viewer];
const DAY: Duration = Duration::from_secs(24 * 3600);

pub async fn keys(command: Keys, context: &Context) -> Outcome {
    match command {
        Keys::Create {
            name,
            org,
            role,
            expires_in,
            json,
            places,
        } => {
            let scope = scope(&org)?;
            let wanted = Wanted {
                name: &name,
                role: parse_role(&role)?,
                expires_in: expires_in.map(|days| DAY * days),
            };
            let store = open(places, context).await?;
            create(&*store, &scope, &wanted, json).await?;
            store.close().await;
        }
        Keys::List { org, json, places } => {
            let scope = scope(&org)?;
            let store = open(places, context).await?;
            let keys = store.list_keys(&scope).await.map_err(store_failed)?;
            let now = StoreClock::of(&*store).await.now();
            store.close().await;
            list(&keys, now, json);
        }
        Keys::Revoke { id, org, places } => {
            let scope = scope(&org)?;
            let store = open(places, context).await?;
            let revoked = revoke(&*store, &scope, &id).await;
            store.close().await;
            revoked?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of these places, beside a server that may run on it.
pub(super) async fn open(places: Places, context: &Context) -> Result<Arc<dyn Store>, Failure> {
    let database = config::load_database(&places, &context.env, &context.here)?;
    serve::open_store(&database, store::OpenMode::Beside).await
}

struct Wanted<'a> {
    name: &'a str,
    role: Role,
    expires_in: Option<Duration>,
}

async fn create(
    store: &dyn Store,
    scope: &OrgScope,
    wanted: &Wanted<'_>,
    as_json: bool,
) -> Result<(), Failure> {
    let secret = Secret::generate().map_err(|error| {
        Failure::new(
            "no key can be made",
            "check the system's source of randomness",
        )
        .because(&error)
    })?;
    let now = StoreClock::of(store).await.now();
    let key = Key {
        org: scope.org().clone(),
        id: KeyId::new(SystemClock.uuid()),
        name: wanted.name.to_owned(),
        role: wanted.role,
        digest: KeyDigest::of(secret.expose()),
        session: None,
        created_at: now,
        expires_at: wanted.expires_in.map(|span| now.plus(span)),
        revoked_at: None,
        last_used_at: None,
    };
    let entry = crate::keys::created(&key, Actor::Operator);
    store
        .create_key(scope, &key, &entry)
        .await
        .map_err(store_failed)?;
    if as_json {
        let mut shown = described(&key, now);
        shown["key"] = Value::from(secret.expose());
        say(&shown.to_string());
    } else {
        note(&format!(
            "key {} of org {}, role {}; it is shown this once:",
            key.id,
            key.org,
            key.role.as_str()
        ));
        say(secret.expose());
    }
    Ok(())
}

async fn revoke(store: &dyn Store, scope: &OrgScope, id: &str) -> Result<(), Failure> {
    let missing = || {
        Failure::new(
            format!("org {} has no key {id}", scope.org()),
            "`runyard keys list --org ORG` shows the ids",
        )
    };
    let key: KeyId = id.parse().map_err(|_| missing())?;
    let at = StoreClock::of(store).await.now();
    let entry = Entry {
        at,
        actor: Actor::Operator,
        deed: Deed::KeyRevoked { key_id: key },
    };
    if !store
        .revoke_key(scope, key, at, &entry)
        .await
        .map_err(store_failed)?
    {
        return Err(missing());
    }
    note(&format!(
        "key {id} is revoked; a running server refuses it within seconds"
    ));
    Ok(())
}

fn list(keys: &[Key], now: Timestamp, as_json: bool) {
    if as_json {
        for key in keys {
            say(&described(key, now).to_string());
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "ID",
        "NAME",
        "ROLE",
        "STATE",
        "CREATED",
        "LAST USED",
    ]);
    for key in keys {
        table.add_row([
            key.id.to_string(),
            super::terminal::brief(&key.name, 40),
            key.role.as_str().to_owned(),
            state(key, now).to_owned(),
            day(Some(key.created_at)),
            day(key.last_used_at),
        ]);
    }
    say(&table.trim_fmt());
}

fn state(key: &Key, now: Timestamp) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.is_live(now) {
        "live"
    } else {
        "expired"
    }
}

fn day(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "never".to_owned(),
        |time| time.to_string().chars().take(19).collect(),
    )
}

fn described(key: &Key, now: Timestamp) -> Value {
    json!({
        "id": key.id.to_string(),
        "org": key.org.as_str(),
        "name": key.name,
        "role": key.role.as_str(),
        "state": state(key, now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    })
}

pub(super) fn scope(org: &str) -> Result<OrgScope, Failure> {
    OrgId::new(org).map(OrgScope::new).map_err(|error| {
        Failure::new(
            format!("{org:?} is no name of an org"),
            "use 1 to 63 characters of a-z, 0-9, - and _, beginning with a letter or digit",
        )
        .because(&error)
    })
}

fn parse_role(text: &str) -> Result<Role, Failure> {
    let role = ROLES.into_iter().find(|role| role.as_str() == text);
    role.ok_or_else(|| {
        Failure::new(
            format!("{text:?} is no role of a key"),
            "use owner, developer, approver or viewer",
        )
    })
}

pub(super) fn store_failed(error: StoreError) -> Failure {
    let mend = match &error {
        StoreError::Full(_) => "free some space on the disk and try again",
        StoreError::Unavailable(_) => "try again in a moment",
        StoreError::Stale
        | StoreError::GrantGone
        | StoreError::UnknownOutcome(_)
        | StoreError::Corrupt { .. }
        | StoreError::Rejected(_) => "`runyard doctor` looks at the store",
    };
    Failure::new("the store could not be read or written", mend).because(&error)
}
