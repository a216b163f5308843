//! Joining the servers that share the database, if the settings name a NATS to meet at.

use crate::cli::Failure;
use crate::config::{Database, Nats, Settings};
use ::bus::{BusError, NatsBus, Patience};
use domain::ports::bus::Bus;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// The bus; `None` where there is nobody to talk with. A NATS that is not there yet is waited for beside everything
/// else: without it servers meet in the database.
pub async fn join(settings: &Settings) -> Result<Option<Arc<dyn Bus>>, Failure> {
    let Some(nats) = &settings.nats else {
        return Ok(None);
    };
    if matches!(settings.database, Database::Sqlite(_)) {
        tracing::warn!(
            "NATS ({}) is not used: one server alone serves a SQLite file; several share a PostgreSQL database",
            nats.url.source
        );
        return Ok(None);
    }
    let bus = connect(nats, Patience::Later).await?;
    Ok(Some(bus))
}

/// Connects to the NATS that the settings name.
pub async fn connect(nats: &Nats, patience: Patience) -> Result<Arc<NatsBus>, Failure> {
    let credentials = match &nats.credentials {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Failure::new(
                format!("the credentials {} for NATS cannot be read", path.display()),
                "name a `.creds` file of your NATS account with RUNYARD_NATS_CREDENTIALS",
            )
            .because(&error)
        })?),
    };
    let settings = ::bus::Settings {
        url: nats.url.value.expose_secret().to_owned(),
        prefix: nats.prefix.clone(),
        credentials,
    };
    ::bus::connect(&settings, patience).await.map_err(|error| {
        let what = format!("NATS ({}) cannot be used", nats.url.source);
        Failure::new(what, mend(&error)).because(&error)
    })
}

fn mend(error: &BusError) -> &'static str {
    match error {
        BusError::Address(_) => "write --nats as nats://user:password@host:4222 or tls://host:4222",
        BusError::Prefix(_) => "use letters, digits, - and _ joined by dots for nats_prefix",
        BusError::Credentials(_) => {
            "name a `.creds` file of your NATS account with RUNYARD_NATS_CREDENTIALS"
        }
        BusError::Connect(_) => "check that NATS runs there, and the user and password of --nats",
    }
}
