//! What a server without any owner does once: it makes the org `default` and its owner's key. It does not know who
//! will use them.

use crate::keys::{self, Secret};
use crate::private_file;
use domain::audit::Actor;
use domain::key::{Key, KeyDigest, Role};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreError};
use domain::{KeyId, OrgId, OrgScope};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The org that a first start makes.
pub const ORG: &str = "default";

#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the system has no randomness to give")]
    Randomness(#[from] getrandom::Error),
    #[error("RUNYARD_OWNER_KEY has characters that no request can carry")]
    OwnerKey,
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The owner's key, where it was made just now.
#[derive(Debug)]
pub struct NewOwner {
    pub secret: SecretString,
    /// It was generated here; otherwise its owner knows it already.
    pub generated: bool,
}

/// Makes the owner's key and leaves a copy in `key_path` for commands on this machine. `None` if another server came
/// first; then the copy is there only if it is a key of the store. The copy is written first: a crash in between leaves a
/// key that the next start takes, and never an owner without a key.
///
/// Servers that start at the same moment are told apart twice: those on one folder offer the store one key, because the
/// first to write the copy makes it, and the store takes one key of all that are offered.
pub async fn create_owner(
    store: &dyn Store,
    clock: &dyn Clock,
    chosen: Option<&SecretString>,
    key_path: &Path,
) -> Result<Option<NewOwner>, FirstStartError> {
    let failed = |source| FirstStartError::Write {
        path: key_path.to_owned(),
        source,
    };
    let offer = offer(chosen, key_path)?;
    let text = offer.owner.secret.expose_secret();
    let key = new_key(clock, "owner", Role::Owner, text);
    let entry = keys::created(&key, Actor::Operator);
    if store.system_create_first_owner(&key, &entry).await? {
        // Only one who was told another key overwrites it meanwhile.
        if !is_kept(key_path, text) {
            private_file::write(key_path, text.as_bytes()).map_err(failed)?;
        }
        return Ok(Some(offer.owner));
    }
    let is_of_the_store = store.system_find_key(&key.digest).await?.is_some();
    if offer.is_written && !is_of_the_store && is_kept(key_path, text) {
        std::fs::remove_file(key_path).map_err(failed)?;
    }
    Ok(None)
}

/// A key for the store to take.
struct Offer {
    owner: NewOwner,
    /// The copy was not there before.
    is_written: bool,
}

/// The chosen key, or the one whose copy is there, or a new one. Its copy is on disk.
fn offer(chosen: Option<&SecretString>, key_path: &Path) -> Result<Offer, FirstStartError> {
    let failed = |source| FirstStartError::Write {
        path: key_path.to_owned(),
        source,
    };
    if let Some(secret) = chosen {
        let secret = trimmed(secret)?;
        let text = secret.expose_secret();
        let is_written = !is_kept(key_path, text);
        if is_written {
            private_file::write(key_path, text.as_bytes()).map_err(failed)?;
        }
        let owner = NewOwner {
            secret,
            generated: false,
        };
        return Ok(Offer { owner, is_written });
    }
    let generated = |text: &str, is_written| Offer {
        owner: NewOwner {
            secret: SecretString::from(text),
            generated: true,
        },
        is_written,
    };
    let new = Secret::generate()?;
    if private_file::create(key_path, new.expose().as_bytes()).map_err(failed)? {
        return Ok(generated(new.expose(), true));
    }
    let found = std::fs::read_to_string(key_path).unwrap_or_default();
    if keys::is_well_formed(found.trim()) {
        return Ok(generated(found.trim(), false));
    }
    private_file::write(key_path, new.expose().as_bytes()).map_err(failed)?;
    Ok(generated(new.expose(), true))
}

fn is_kept(key_path: &Path, text: &str) -> bool {
    std::fs::read_to_string(key_path).is_ok_and(|kept| kept.trim() == text)
}

/// What a key is to be.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub scope: &'a OrgScope,
    pub name: &'a str,
    pub role: Role,
    /// From now on; for ever if there is none.
    pub life: Option<Duration>,
    /// Who makes it, for the audit.
    pub actor: Actor,
}

/// Makes another key.
pub async fn make_key(
    store: &dyn Store,
    clock: &dyn Clock,
    wanted: NewKey<'_>,
) -> Result<Secret, FirstStartError> {
    let secret = Secret::generate()?;
    let mut key = new_key(clock, wanted.name, wanted.role, secret.expose());
    key.org = wanted.scope.org().clone();
    key.expires_at = wanted.life.map(|life| key.created_at.plus(life));
    let entry = keys::created(&key, wanted.actor);
    store.create_key(wanted.scope, &key, &entry).await?;
    Ok(secret)
}

/// The org that a first start makes.
pub fn scope() -> OrgScope {
    OrgScope::new(OrgId::new(ORG).expect("the name is one of an org"))
}

/// A key of the org `default` that does not expire.
fn new_key(clock: &dyn Clock, name: &str, role: Role, secret: &str) -> Key {
    Key {
        org: scope().org().clone(),
        id: KeyId::new(clock.uuid()),
        name: name.to_owned(),
        role,
        digest: KeyDigest::of(secret),
        session: None,
        created_at: clock.now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn trimmed(secret: &SecretString) -> Result<SecretString, FirstStartError> {
    let text = secret.expose_secret().trim();
    let sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sendable {
        Ok(SecretString::from(text))
    } else {
        Err(FirstStartError::OwnerKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_key_must_be_sendable() {
        for bad in [" ", "two words", "é"] {
            assert!(trimmed(&SecretString::from(bad)).is_err(), "{bad:?}");
        }
        let good = trimmed(&SecretString::from("owner-key\n")).unwrap();
        assert_eq!(good.expose_secret(), "owner-key");
    }
}
