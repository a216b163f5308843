//! SQL tools on PostgreSQL, over a small pool that connects when it is first used. It does not migrate anything but
//! the ledger's table.

mod value;

use super::rows::Rows;
use super::{Answer, DatabaseError, Fault, Job, ledger};
use crate::executor::Unforgotten;
use crate::limits::{CONNECT_TIMEOUT, CONNECTIONS};
use deadpool_postgres::{
    Client, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Transaction,
};
use domain::seeded::Seeded;
use futures::{StreamExt, pin_mut};
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::{Map, Value};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use value::{Bound, decode};

pub(super) struct Postgres {
    /// Sessions that are read-only by default, so that a read stays one whatever happens to its transaction.
    readers: Pool,
    writers: Pool,
    tls: MakeRustlsConnect,
    has_ledger: OnceCell<()>,
}

impl Postgres {
    /// Connections are encrypted and the server's certificate verified with `sslmode=require`; any other mode is
    /// plain, since encryption to a server that is not verified keeps nobody out.
    pub(super) fn open(url: &str) -> Result<Self, DatabaseError> {
        let mut config = Config::from_str(url).map_err(DatabaseError::Url)?;
        config.connect_timeout(CONNECT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("runyard-tools");
        }
        if config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = tls(config.get_ssl_mode()).map_err(DatabaseError::Certificates)?;
        let mut reading = config.clone();
        let options = config.get_options().unwrap_or_default();
        reading.options(format!("{options} -c default_transaction_read_only=on"));
        Ok(Self {
            readers: pool(reading, &tls)?,
            writers: pool(config, &tls)?,
            tls,
            has_ledger: OnceCell::new(),
        })
    }

    pub(super) async fn forget(&self, tool: &str, age: Duration) -> Result<u64, Unforgotten> {
        let client = self.writers.get().await;
        let client = client.map_err(|error| Unforgotten(Box::new(error)))?;
        let forgotten = async {
            self.has_ledger
                .get_or_try_init(|| make_ledger(&client))
                .await?;
            let age = age.as_secs_f64();
            let params: [&(dyn ToSql + Sync); 2] = [&tool, &age];
            client.execute(ledger::FORGET_POSTGRES, &params).await
        };
        forgotten
            .await
            .map_err(|error| Unforgotten(Box::new(error)))
    }

    pub(super) async fn run(&self, job: Job) -> Result<Answer, Fault> {
        let answer = self.attempt(&job).await;
        match answer {
            // The ledger knows: if it was committed, the repetition finds it recorded; if not, it happens now.
            Err(Fault::CommitUnknown) if job.plan.keyed => match self.attempt(&job).await {
                Ok(answer) => Ok(answer),
                Err(_) => Err(Fault::CommitUnknown),
            },
            other => other,
        }
    }

    async fn attempt(&self, job: &Job) -> Result<Answer, Fault> {
        let pool = if job.plan.writes {
            &self.writers
        } else {
            &self.readers
        };
        let client = match timeout(job.left(), pool.get()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                // Only the kind: the text may hold the address.
                let kind = match &error {
                    PoolError::Backend(error) => error.code().map_or("connection", SqlState::code),
                    _ => "pool",
                };
                tracing::warn!(tool.name = %job.plan.tool, "PostgreSQL cannot be reached: {kind}");
                return Err(Fault::Unreachable);
            }
            Err(_) => return Err(Fault::Unreachable),
        };
        let mut lease = Lease {
            cancel: client.cancel_token(),
            tls: self.tls.clone(),
            client: Some(client),
            is_in_order: false,
        };
        let client = lease.client.as_mut().expect("a new lease holds its client");
        let performed = timeout(job.left(), self.perform(client, job)).await;
        let performed = performed
            .map_err(|_| None)
            .and_then(|done| done.map_err(Some));
        let (tx, answer) = match performed {
            Ok(done) => done,
            // Nobody asked for the commit yet, and without that nothing stays.
            Err(None) => return Err(Fault::TimedOut),
            Err(Some(error)) => {
                lease.is_in_order = error.as_db_error().is_some();
                return Err(fault(&error, job));
            }
        };
        let committed = timeout(job.left().max(COMMIT_WAIT_MIN), tx.commit()).await;
        match committed {
            Ok(Ok(())) => {
                lease.is_in_order = true;
                Ok(answer)
            }
            _ if !job.plan.writes => Ok(answer),
            Ok(Err(error)) if error.as_db_error().is_some() => Err(fault(&error, job)),
            Ok(Err(_)) | Err(_) => Err(Fault::CommitUnknown),
        }
    }

    /// Everything but the commit.
    async fn perform<'a>(
        &self,
        client: &'a mut Client,
        job: &Job,
    ) -> Result<(Transaction<'a>, Answer), tokio_postgres::Error> {
        if job.plan.keyed {
            self.has_ledger
                .get_or_try_init(|| make_ledger(client))
                .await?;
        }
        let tx = client
            .build_transaction()
            .read_only(!job.plan.writes)
            .start()
            .await?;
        // By a query, not by SET: once one has run, nothing can change the transaction's access mode any more.
        let limit = job.left().as_millis().max(1);
        tx.batch_execute(&format!(
            "SELECT set_config('statement_timeout', '{limit}', true), set_config('lock_timeout', '{limit}', true)"
        ))
        .await?;
        if job.plan.keyed
            && let Some(recorded) = begin_call(&tx, job).await?
            && !Seeded::LedgerUnread.is_on()
        {
            return Ok((tx, ledger::told(&recorded)));
        }
        let answer = statements(&tx, job).await?;
        if job.plan.keyed {
            let record = "UPDATE runyard_call_ledger SET result = $2 WHERE call_key = $1";
            let record = tx.prepare_cached(record).await?;
            tx.execute(&record, &[&job.call_key, &ledger::recorded(&answer)])
                .await?;
        }
        Ok((tx, answer))
    }
}

/// A commit that was asked for is waited for at least this long; what it says is worth more than the time.
const COMMIT_WAIT_MIN: Duration = Duration::from_millis(200);

/// The database that a URL names, without its password and whatever else does not say which one it is.
pub(super) fn place(url: &str) -> Result<String, DatabaseError> {
    let config = Config::from_str(url).map_err(DatabaseError::Url)?;
    Ok(format!(
        "{:?} {:?} {:?} {:?}",
        config.get_hosts(),
        config.get_ports(),
        config.get_user(),
        config.get_dbname()
    ))
}

fn tls(mode: SslMode) -> Result<MakeRustlsConnect, rustls::Error> {
    let provider = rustls::crypto::ring::default_provider().into();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let config = match mode {
        SslMode::Require => builder.with_platform_verifier()?,
        // Never used; the type wants one.
        _ => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn pool(config: Config, tls: &MakeRustlsConnect) -> Result<Pool, DatabaseError> {
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, tls.clone(), ManagerConfig { recycling_method });
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .build()
        .map_err(DatabaseError::Pool)
}

/// Two servers may make it at once, and `IF NOT EXISTS` does not spare the slower one an error.
async fn make_ledger(client: &Client) -> Result<(), tokio_postgres::Error> {
    match client.batch_execute(ledger::CREATE).await {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            client.batch_execute(ledger::CREATE).await
        }
        other => other,
    }
}

/// Claims the call's key, or finds what was recorded under it. A second call with the key waits here for the first.
async fn begin_call(
    tx: &Transaction<'_>,
    job: &Job,
) -> Result<Option<String>, tokio_postgres::Error> {
    let claim = "INSERT INTO runyard_call_ledger (call_key, tool, result) VALUES ($1, $2, '') ON CONFLICT DO NOTHING";
    let claim = tx.prepare_cached(claim).await?;
    if tx.execute(&claim, &[&job.call_key, &job.plan.tool]).await? == 1 {
        return Ok(None);
    }
    let find = "SELECT result FROM runyard_call_ledger WHERE call_key = $1";
    let find = tx.prepare_cached(find).await?;
    let row = tx.query_one(&find, &[&job.call_key]).await?;
    row.try_get(0).map(Some)
}

async fn statements(tx: &Transaction<'_>, job: &Job) -> Result<Answer, tokio_postgres::Error> {
    let plan = &job.plan;
    let (mut changed, mut last) = (0, None);
    for statement in &plan.statements {
        let prepared = tx.prepare_cached(&statement.text).await?;
        let values: Vec<Bound> = statement
            .parameters
            .iter()
            .map(|name| Bound::of(job.values.get(name).unwrap_or(&Value::Null)))
            .collect();
        let mut rows = Rows::new(plan, job.bytes_max);
        let has_columns = !prepared.columns().is_empty();
        if has_columns {
            changed += fetch(tx, &prepared, values, &mut rows, plan.rows_max).await?;
        } else {
            changed += tx.execute_raw(&prepared, values).await?;
        }
        last = Some((rows, has_columns));
    }
    let (rows, has_columns) = last.expect("a plan has a statement");
    Ok(rows.answer(plan, has_columns, plan.writes.then_some(changed)))
}

/// Fetches rows through a portal, which sends one more than are wanted and no further. Returns how many were changed
/// as far as the statement says.
async fn fetch(
    tx: &Transaction<'_>,
    prepared: &Statement,
    values: Vec<Bound>,
    rows: &mut Rows,
    rows_max: usize,
) -> Result<u64, tokio_postgres::Error> {
    let portal = tx.bind_raw(prepared, values).await?;
    let wanted = i32::try_from(rows_max + 1).unwrap_or(i32::MAX);
    let found = tx.query_portal_raw(&portal, wanted).await?;
    pin_mut!(found);
    let mut count = 0;
    while let Some(row) = found.next().await {
        count += 1;
        rows.push(object(&row?));
    }
    Ok(found.rows_affected().unwrap_or(count))
}

fn object(row: &Row) -> Map<String, Value> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(index, column)| (column.name().to_owned(), decode(row, index)))
        .collect()
}

/// A connection on loan. One that is not in order when the loan ends is closed, and what it was doing is cancelled.
struct Lease {
    client: Option<Object>,
    is_in_order: bool,
    cancel: CancelToken,
    tls: MakeRustlsConnect,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take().filter(|_| !self.is_in_order) else {
            return;
        };
        drop(Object::take(client));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (cancel, tls) = (self.cancel.clone(), self.tls.clone());
            runtime.spawn(async move {
                // If it fails, the statement ends at its own time limit.
                let _ = timeout(CONNECT_TIMEOUT, cancel.cancel_query(tls)).await;
            });
        }
    }
}

fn fault(error: &tokio_postgres::Error, job: &Job) -> Fault {
    let Some(said) = error.as_db_error() else {
        // A value that cannot be encoded or a connection that ended; either way nothing was committed.
        tracing::warn!(tool.name = %job.plan.tool, "a SQL tool failed: the connection or a value");
        return Fault::RolledBack(
            "the database did not take the call; nothing was changed".to_owned(),
        );
    };
    let code = said.code();
    if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE {
        return Fault::TimedOut;
    }
    // Bad data, a broken constraint, a conflict, and what a trigger raises: the model can mend those.
    let class = code.code().get(..2).unwrap_or_default();
    if matches!(class, "22" | "23" | "40") || *code == SqlState::RAISE_EXCEPTION {
        return Fault::RolledBack(format!("{}; nothing was changed", said.message()));
    }
    tracing::warn!(tool.name = %job.plan.tool, sql.state = code.code(), "a SQL tool failed");
    Fault::RolledBack("the database refused the call; nothing was changed".to_owned())
}
