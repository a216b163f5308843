//! Connects, checks the server, and brings the schema up to date; any number of processes may do so at once.

use super::pool::Pool;
use super::{PostgresSettings, PostgresStore};
use crate::OpenError;
use crate::migrations::{self, Applied, Migration, POSTGRES};
use crate::transfer::standing;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime,
};
use domain::ports::store::Store;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// `server_version_num` of the oldest server that is supported.
const OLDEST: i32 = 130_000;
/// Names the lock under which the schema changes; any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x7275_6e79_6172_6431;

/// Opens the database at `address` (a URL or key-value form, as libpq's) and brings its schema up to date. TLS is used,
/// and the server's certificate verified, with `sslmode=require`; any other mode is plain.
pub async fn open(address: &str, settings: PostgresSettings) -> Result<Arc<dyn Store>, OpenError> {
    let config = config(address, &settings)?;
    let host = host(&config);
    let connect = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Connect {
        host: host.clone(),
        source,
    };
    let pool = connections(&config, &settings, settings.connections).map_err(connect)?;
    let leases = connections(&config, &settings, 1).map_err(connect)?;
    let mut client = pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => connect(Box::new(error)),
        other => connect(Box::new(other)),
    })?;
    migrate(&mut client, POSTGRES).await?;
    standing::check_postgres(&**client).await?;
    drop(client);
    let answer = settings.statement_timeout + Duration::from_secs(5);
    let (pool, leases) = (Pool::new(pool, answer), Pool::new(leases, answer));
    Ok(Arc::new(PostgresStore::new(pool, leases)))
}

/// One connection for long work, with the schema up to date, and what to call the database. It may be one that no server
/// may open.
pub(crate) async fn alone(address: &str) -> Result<(Client, String), OpenError> {
    let settings = PostgresSettings::default();
    let config = config(address, &settings)?;
    let name = format!(
        "{}/{}",
        host(&config),
        config.get_dbname().unwrap_or_default()
    );
    let connect = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Connect {
        host: host(&config),
        source,
    };
    let mut client = match config.get_ssl_mode() {
        SslMode::Require => connected(&config, tls(&settings).map_err(connect)?).await,
        _ => connected(&config, NoTls).await,
    }
    .map_err(|error| connect(Box::new(error)))?;
    let patient = "SET statement_timeout = 0; SET lock_timeout = 0; SET synchronous_commit = on";
    client
        .batch_execute(patient)
        .await
        .map_err(OpenError::Postgres)?;
    migrate(&mut client, POSTGRES).await?;
    Ok((client, name))
}

async fn connected<T>(config: &Config, tls: T) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    // It ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

/// Connections that are made when they are first needed, in the runtime of whoever needs them.
fn connections(
    config: &Config,
    settings: &PostgresSettings,
    count: usize,
) -> Result<deadpool_postgres::Pool, Box<dyn std::error::Error + Send + Sync>> {
    let config = config.clone();
    let manager_config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = match config.get_ssl_mode() {
        SslMode::Require => Manager::from_config(config, tls(settings)?, manager_config),
        _ => Manager::from_config(config, NoTls, manager_config),
    };
    let session = session(settings);
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(count.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.wait_timeout))
        .create_timeout(Some(settings.connect_timeout * 2))
        .post_create(Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(async move {
                let done = client.batch_execute(&session).await;
                done.map_err(HookError::Backend)
            })
        }))
        .build()?;
    Ok(pool)
}

fn config(address: &str, settings: &PostgresSettings) -> Result<Config, OpenError> {
    let mut config: Config = address.parse().map_err(OpenError::BadAddress)?;
    if config.get_application_name().is_none() {
        config.application_name("runyard");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(settings.connect_timeout);
    }
    // A peer that vanished without a word is noticed within half a minute, idle or not.
    config
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(15));
    }
    Ok(config)
}

/// What every connection is told first. Acknowledged means synced, whatever the role's default says.
fn session(settings: &PostgresSettings) -> String {
    let millis = settings.statement_timeout.as_millis();
    format!(
        "SET statement_timeout = {millis}; SET lock_timeout = {millis};
        SET idle_in_transaction_session_timeout = {millis};
        SET default_transaction_isolation = 'read committed'; SET jit = off;
        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn tls(
    settings: &PostgresSettings,
) -> Result<MakeRustlsConnect, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore::empty();
    match &settings.ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Where it is, for messages; never the user or password.
fn host(config: &Config) -> String {
    let mut text = String::new();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let port = config.get_ports().get(index).or(config.get_ports().first());
        let port = port.copied().unwrap_or(5432);
        let written = match host {
            Host::Tcp(name) => write!(text, "{separator}{name}:{port}"),
            Host::Unix(path) => write!(text, "{separator}{} (port {port})", path.display()),
        };
        written.expect("a string takes everything");
    }
    text
}

const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL
)";

pub(super) async fn migrate(client: &mut Client, known: &[Migration]) -> Result<(), OpenError> {
    let row = client
        .query_one("SELECT current_setting('server_version_num')::integer, current_setting('server_version')", &[])
        .await
        .map_err(OpenError::Postgres)?;
    if row.get::<_, i32>(0) < OLDEST {
        return Err(OpenError::OldPostgres { found: row.get(1) });
    }
    let tx = client.transaction().await.map_err(OpenError::Postgres)?;
    // Replicas that start together take turns; the lock goes with the transaction.
    tx.batch_execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        .await
        .map_err(OpenError::Postgres)?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(OpenError::Postgres)?;
    tx.batch_execute(CREATE_MIGRATIONS)
        .await
        .map_err(OpenError::Postgres)?;
    let rows = tx
        .query(
            "SELECT version, checksum FROM schema_migrations ORDER BY version",
            &[],
        )
        .await
        .map_err(OpenError::Postgres)?;
    let applied: Vec<Applied> = rows
        .iter()
        .map(|row| Applied {
            version: row.get(0),
            checksum: row.get(1),
        })
        .collect();
    for step in migrations::pending(known, &applied)? {
        let failed = |error: tokio_postgres::Error| OpenError::Migration {
            name: step.name,
            source: Box::new(error),
        };
        tx.batch_execute(step.sql).await.map_err(failed)?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            &[&step.version, &step.name, &step.checksum()],
        )
        .await
        .map_err(failed)?;
    }
    tx.commit().await.map_err(OpenError::Postgres)
}
