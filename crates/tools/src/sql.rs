//! Tools that run fixed statements on a configured database. Arguments are bound, never written into a statement;
//! who may only read is held to it by the database; and a keyed write is recorded in the same transaction.

mod ledger;
mod postgres;
mod rows;
mod sqlite;
mod statement;

pub use statement::StatementError;

use crate::config::{DatabaseConfig, Returns, Setting, SqlConfig, Statements};
use crate::error::ConfigError;
use crate::executor::{Definition, Ended, Executor, Unforgotten, Work};
use crate::limits;
use domain::tool::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use statement::{Dialect, Statement};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A configured database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the environment variable `{variable}` is not set")]
    Unset { variable: String },
    #[error("the file {path} does not exist")]
    NoFile { path: String },
    #[error("SQLite cannot open it")]
    Sqlite(#[source] rusqlite::Error),
    #[error("its URL cannot be read")]
    Url(#[source] tokio_postgres::Error),
    #[error("the machine's certificates cannot be used")]
    Certificates(#[source] rustls::Error),
    #[error("no connections can be made")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// The databases of the configuration, by name.
pub(crate) struct Databases(BTreeMap<String, Arc<Database>>);

struct Database {
    read_only: bool,
    /// Which one it is, without its password.
    place: String,
    engine: Engine,
}

enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Databases {
    /// Opens SQLite files; PostgreSQL is connected to when it is first used.
    pub(crate) fn open(
        configs: BTreeMap<String, DatabaseConfig>,
        env: &dyn Fn(&str) -> Option<String>,
        data: &Path,
    ) -> Result<Self, ConfigError> {
        let mut databases = BTreeMap::new();
        for (name, config) in configs {
            let opened = open(&config.url, config.read_only, env, data);
            let database = opened.map_err(|source| ConfigError::Database {
                database: name.clone(),
                source,
            })?;
            databases.insert(name, Arc::new(database));
        }
        Ok(Self(databases))
    }
}

fn open(
    url: &Setting,
    read_only: bool,
    env: &dyn Fn(&str) -> Option<String>,
    data: &Path,
) -> Result<Database, DatabaseError> {
    let url = url
        .resolve(env)
        .map_err(|variable| DatabaseError::Unset { variable })?;
    let url = url.expose_secret();
    let (place, engine) = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let place = postgres::place(url)?;
        (place, Engine::Postgres(postgres::Postgres::open(url)?))
    } else {
        let path = data.join(url.strip_prefix("sqlite:").unwrap_or(url));
        let engine = Engine::Sqlite(sqlite::Sqlite::open(&path, read_only)?);
        (path.display().to_string(), engine)
    };
    Ok(Database {
        read_only,
        place,
        engine,
    })
}

/// `kind = "sql"`.
pub(crate) struct SqlTool {
    plan: Arc<Plan>,
    database: Arc<Database>,
    parameters: BTreeSet<String>,
    identity: Value,
}

/// What a tool does in its database.
struct Plan {
    tool: String,
    statements: Vec<Statement>,
    returns: Returns,
    writes: bool,
    keyed: bool,
    rows_max: usize,
}

/// One call of it.
struct Job {
    plan: Arc<Plan>,
    values: BTreeMap<String, Value>,
    call_key: String,
    bytes_max: usize,
    deadline: Instant,
}

impl Job {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The result of a transaction that was committed, or that a ledger tells of.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    value: Value,
    is_error: bool,
}

/// Why there is no answer.
#[derive(Debug)]
enum Fault {
    /// The transaction was rolled back; the text is for the model.
    RolledBack(String),
    /// The transaction was rolled back because its time was over.
    TimedOut,
    /// It never began.
    Unreachable,
    /// It was asked to commit and did not answer.
    CommitUnknown,
}

impl SqlTool {
    pub(crate) fn build(
        definition: &Definition,
        config: &SqlConfig,
        databases: &Databases,
    ) -> Result<Self, ConfigError> {
        let tool = definition.name.clone();
        let Some(database) = databases.0.get(&config.database) else {
            let known: Vec<&str> = databases.0.keys().map(String::as_str).collect();
            return Err(ConfigError::UnknownDatabase {
                tool,
                database: config.database.clone(),
                known: known.join(", "),
            });
        };
        let keyed = definition.effect == Effect::Keyed;
        if keyed && !config.writes {
            return Err(ConfigError::KeyedRead { tool });
        }
        if config.writes && database.read_only {
            let database = config.database.clone();
            return Err(ConfigError::ReadOnlyDatabase { tool, database });
        }
        if !(1..=limits::ROWS_MAX).contains(&config.max_rows) {
            return Err(ConfigError::Range {
                tool,
                setting: "max_rows",
                allowed: "between 1 and 10000",
            });
        }
        let statements = statements(&tool, config, database)?;
        if let Engine::Sqlite(sqlite) = &database.engine
            && keyed
        {
            sqlite
                .make_ledger()
                .map_err(|source| ConfigError::Database {
                    database: config.database.clone(),
                    source: DatabaseError::Sqlite(source),
                })?;
        }
        let parameters = statements
            .iter()
            .flat_map(|statement| statement.parameters.iter().cloned())
            .collect();
        Ok(Self {
            plan: Arc::new(Plan {
                tool,
                statements,
                returns: config.returns,
                writes: config.writes,
                keyed,
                rows_max: config.max_rows,
            }),
            identity: json!({
                "kind": "sql",
                "database": config.database,
                "place": database.place,
                "sql": config.sql,
                "returns": config.returns,
                "writes": config.writes,
                "rows_max": config.max_rows,
            }),
            database: Arc::clone(database),
            parameters,
        })
    }

    pub(crate) fn parameters(&self) -> &BTreeSet<String> {
        &self.parameters
    }

    async fn carry(&self, work: Work<'_>) -> Ended {
        let values = self
            .parameters
            .iter()
            .map(|name| (name.clone(), work.value(name).unwrap_or(Value::Null)));
        let job = Job {
            plan: Arc::clone(&self.plan),
            values: values.collect(),
            call_key: work.call.key.as_str().to_owned(),
            bytes_max: work.result_bytes_max,
            deadline: Instant::now() + work.limit,
        };
        let answer = match &self.database.engine {
            Engine::Sqlite(sqlite) => sqlite.run(job).await,
            Engine::Postgres(postgres) => postgres.run(job).await,
        };
        match answer {
            Ok(Answer { value, is_error }) => Ended::Answered { value, is_error },
            Err(Fault::RolledBack(why)) => Ended::Before { why },
            Err(Fault::TimedOut) => Ended::Before {
                why: format!(
                    "the database did not finish within {:.1} s; nothing was changed",
                    work.limit.as_secs_f64()
                ),
            },
            Err(Fault::Unreachable) => Ended::Before {
                why: "the database cannot be reached; nothing was changed".to_owned(),
            },
            Err(Fault::CommitUnknown) => Ended::Unknown {
                evidence: format!(
                    "`{}` was asked to commit and the database did not answer (call key {})",
                    self.plan.tool, work.call.key
                ),
            },
        }
    }
}

/// The tool's statements as its database takes them; SQLite is asked whether it does.
fn statements(
    tool: &str,
    config: &SqlConfig,
    database: &Database,
) -> Result<Vec<Statement>, ConfigError> {
    let texts = match &config.sql {
        Statements::One(text) => std::slice::from_ref(text),
        Statements::Several(texts) => texts.as_slice(),
    };
    if texts.is_empty() {
        return Err(ConfigError::Range {
            tool: tool.to_owned(),
            setting: "sql",
            allowed: "one statement or several",
        });
    }
    let dialect = match &database.engine {
        Engine::Sqlite(_) => Dialect::Sqlite,
        Engine::Postgres(_) => Dialect::Postgres,
    };
    let mut statements = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let wrong = |source| ConfigError::Statement {
            tool: tool.to_owned(),
            number: index + 1,
            source,
        };
        let statement = Statement::parse(text, dialect).map_err(wrong)?;
        if let Engine::Sqlite(sqlite) = &database.engine {
            sqlite.check(&statement, config.writes).map_err(wrong)?;
        }
        statements.push(statement);
    }
    Ok(statements)
}

impl Executor for SqlTool {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        self.carry(work).boxed()
    }

    fn identity(&self) -> Value {
        self.identity.clone()
    }

    fn forget<'a>(&'a self, age: Duration) -> BoxFuture<'a, Result<u64, Unforgotten>> {
        async move {
            let tool = &self.plan.tool;
            match &self.database.engine {
                _ if !self.plan.keyed => Ok(0),
                Engine::Sqlite(sqlite) => sqlite.forget(tool, age).await,
                Engine::Postgres(postgres) => postgres.forget(tool, age).await,
            }
        }
        .boxed()
    }
}
