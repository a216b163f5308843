//! The steps of a start that can say no, each with what to do about it.

use crate::cli::{self, Failure};
use crate::clock::{StoreClock, SystemClock};
use crate::config::{Settings, Source, Sourced};
use crate::first_start::{self, FirstStartError, NewKey, NewOwner};
use crate::registry::{self, Registry};
use ::tools::fleet;
use domain::audit::Actor;
use domain::key::{KeyDigest, Role};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreError};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// What the store knows of an owner.
pub enum Owner {
    Known,
    /// This is the first start.
    None,
}

/// Whether there is an owner. A server that anybody could reach does not begin without one.
pub async fn look_for_owner(settings: &Settings, store: &dyn Store) -> Result<Owner, Failure> {
    if store.system_has_owner().await.map_err(store_failed)? {
        tell_unused_key(settings, store).await?;
        return Ok(Owner::Known);
    }
    let listen = &settings.listen;
    if !listen.value.ip().is_loopback() && settings.owner_key.is_none() {
        return Err(Failure::new(
            format!(
                "the first start on {} ({}) needs a key, because others can reach that address",
                listen.value, listen.source
            ),
            "choose the owner's key with RUNYARD_OWNER_KEY, or make one first with `runyard keys create --role owner --name owner`",
        ));
    }
    Ok(Owner::None)
}

/// The variable counts at the first start alone; a person who sets it later expects it to work.
async fn tell_unused_key(settings: &Settings, store: &dyn Store) -> Result<(), Failure> {
    let Some(key) = &settings.owner_key else {
        return Ok(());
    };
    let digest = KeyDigest::of(key.expose_secret().trim());
    let known = store.system_find_key(&digest).await.map_err(store_failed)?;
    if known.is_none() {
        tracing::warn!(
            "RUNYARD_OWNER_KEY is no key of this store: it counts at the first start alone; make a key with `runyard keys create`"
        );
    }
    Ok(())
}

/// Makes the first owner, if there is none. `None` if there was one, or another server came first.
pub async fn owner(
    found: Owner,
    settings: &Settings,
    store: &dyn Store,
) -> Result<Option<NewOwner>, Failure> {
    match found {
        Owner::Known => Ok(None),
        Owner::None => {
            let made = first_start::create_owner(
                store,
                &StoreClock::of(store).await,
                settings.owner_key.as_ref(),
                &settings.owner_key_path(),
            )
            .await
            .map_err(|error| no_owner(&error))?;
            if made.is_none() {
                tell_unused_key(settings, store).await?;
            }
            Ok(made)
        }
    }
}

fn no_owner(error: &FirstStartError) -> Failure {
    let mend = match error {
        FirstStartError::OwnerKey => "use letters, digits and signs without spaces",
        FirstStartError::Store(_) => "`runyard doctor` looks at the store",
        FirstStartError::Randomness(_) => "check the system's source of randomness",
        FirstStartError::Write { .. } => "check the data folder's permissions and space",
    };
    Failure::new("the owner's key could not be made", mend).because(error)
}

/// Why an address could not be listened on.
pub fn bind_failed(listen: &Sourced<SocketAddr>, error: &io::Error) -> Failure {
    let (address, source) = (listen.value, &listen.source);
    let port = address.port();
    let free = "choose another with --listen 127.0.0.1:PORT (0 takes a free one)";
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(
            format!("port {port} is taken by another program ({address} is from {source})"),
            free,
        ),
        io::ErrorKind::PermissionDenied => Failure::new(
            format!("this user may not listen on port {port}"),
            "choose a port above 1023 with --listen",
        ),
        io::ErrorKind::AddrNotAvailable => Failure::new(
            format!(
                "this machine does not have the address {} (from {source})",
                address.ip()
            ),
            "listen on 127.0.0.1, on 0.0.0.0 for every address, or on one that it has",
        ),
        _ => Failure::new(format!("{address} cannot be listened on"), free).because(error),
    }
}

/// Listens. Deep enough for thousands of clients that come at once.
pub fn bind(listen: &Sourced<SocketAddr>) -> Result<TcpListener, Failure> {
    const BACKLOG: u32 = 16_384;
    let bound = || {
        let socket = match listen.value {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A port whose last connections are still fading is free to be used again.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(listen.value)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| bind_failed(listen, &error))
}

/// Writes the sample agents and their fleet where there is no folder of agents. A folder that was named and went
/// missing since is a mistake, not a first start.
pub fn samples(settings: &Settings, is_first_start: bool) -> Result<(), Failure> {
    let agents = &settings.agents;
    let folder = &agents.value;
    if !folder.exists() && agents.source != Source::Default && !is_first_start {
        return Err(Failure::new(
            format!(
                "the agents' folder {} ({}) is not there",
                folder.display(),
                agents.source
            ),
            "make it, or name another with --agents DIR",
        ));
    }
    if folder.exists() {
        return Ok(());
    }
    // The fleet first: another server that finds the agents finds their tools too.
    fleet::install(&super::tools::fleet_path(settings), SystemClock.uuid()).map_err(|error| {
        Failure::new(
            "the sample fleet cannot be written",
            "check the data folder's permissions and space",
        )
        .because(&error)
    })?;
    registry::install_samples(folder).map_err(|error| {
        Failure::new(
            format!("the agents' folder {} cannot be made", folder.display()),
            "make it yourself, or name another with --agents DIR",
        )
        .because(&error)
    })
}

/// Tells what is wrong with agents. They never keep a server from starting.
pub fn tell_problems(
    registry: &Registry,
    is_known: &dyn Fn(&str) -> bool,
    lanes: Option<&[String]>,
) {
    for problem in registry.problems() {
        tracing::error!("{problem}");
    }
    for warning in registry.warnings(is_known, lanes) {
        tracing::warn!("{warning}");
    }
}

/// How long the demonstration's own key works, where no other is at hand.
const DEMO_KEY_LIFE: Duration = Duration::from_secs(3600);

/// Runs the demonstration with the owner's key, or with one of its own where only the owner has that.
pub async fn demonstration(
    url: &str,
    ticket: Option<&str>,
    owner: Option<&NewOwner>,
    settings: &Settings,
    store: &dyn Store,
) -> Result<(), Failure> {
    let key = match owner {
        Some(owner) => owner.secret.clone(),
        None => match stored_key(settings, store).await? {
            Some(key) => key,
            None => short_lived_key(store).await?,
        },
    };
    cli::demonstrate(url, ticket, &key).await;
    Ok(())
}

/// The key in the data folder, if it is one of this store and works.
async fn stored_key(
    settings: &Settings,
    store: &dyn Store,
) -> Result<Option<SecretString>, Failure> {
    let Ok(text) = std::fs::read_to_string(settings.owner_key_path()) else {
        return Ok(None);
    };
    let key = store
        .system_find_key(&KeyDigest::of(text.trim()))
        .await
        .map_err(store_failed)?;
    let now = StoreClock::of(store).await.now();
    let works = key.is_some_and(|key| key.is_live(now));
    Ok(works.then(|| SecretString::from(text.trim())))
}

async fn short_lived_key(store: &dyn Store) -> Result<SecretString, Failure> {
    let key = NewKey {
        scope: &first_start::scope(),
        name: "demonstration",
        role: Role::Developer,
        life: Some(DEMO_KEY_LIFE),
        actor: Actor::Operator,
    };
    match first_start::make_key(store, &StoreClock::of(store).await, key).await {
        Ok(secret) => Ok(SecretString::from(secret.expose())),
        Err(FirstStartError::Store(error)) => Err(store_failed(error)),
        Err(error) => Err(Failure::new(
            "no key can be made",
            "check the system's source of randomness",
        )
        .because(&error)),
    }
}

fn store_failed(error: StoreError) -> Failure {
    Failure::new(
        "the store cannot be read or written",
        "`runyard doctor` looks at the store",
    )
    .because(&error)
}
