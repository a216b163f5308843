//! PostgreSQL and NATS for the tests: found running, else started privately, else installed first.

mod address;
mod browser;
mod nats;
mod packages;
mod postgres;
mod started;

use crate::{child, report};
use address::Address;
use anyhow::Context;
pub use browser::chromium;
use clap::{Args, ValueEnum};
pub use packages::{CHROMIUM, provide};
use started::Folder;
use std::env;
use std::fmt;
use std::io::Write;
use std::thread;
use std::time::Duration;

/// Where the tests look for PostgreSQL.
const POSTGRES_VARIABLE: &str = "RUNYARD_TEST_POSTGRES";
/// Where the tests look for NATS.
const NATS_VARIABLE: &str = "RUNYARD_TEST_NATS";

#[derive(Args)]
pub struct ServicesArgs {
    /// Where PostgreSQL and NATS may come from
    #[arg(long, value_enum, default_value_t, env = "RUNYARD_SERVICES")]
    services: Mode,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Use servers that answer, start private ones for the others
    #[default]
    Auto,
    /// Always start private ones
    Private,
}

/// Both services, ready; the private ones end with this value.
pub struct Services {
    postgres: String,
    nats: String,
    /// Stopped in this order, before the folder that they write to is removed.
    _started: Vec<started::Server>,
    _folder: Option<Folder>,
}

impl Services {
    /// Brings both services to where they answer.
    ///
    /// Fails with the one command to run if a program is missing and may not be installed here.
    pub fn bring(mode: Mode) -> anyhow::Result<Self> {
        let mut postgres = find(&POSTGRES, mode);
        let mut nats = find(&NATS, mode);
        let wants_nats = nats.is_none().then_some(packages::NATS_SERVER);
        // Tests of a failover start servers of their own, whatever is there already.
        packages::provide(&[
            Some(packages::POSTGRESQL),
            wants_nats,
            packages::STRACE,
            packages::FAKETIME,
        ])?;
        let mut started = Vec::new();
        let mut folder = None;
        if postgres.is_none() || nats.is_none() {
            let kept = folder.insert(Folder::create()?);
            if postgres.is_none() {
                let (server, url) = postgres::start(kept).context("cannot start PostgreSQL")?;
                report::line(format_args!("PostgreSQL: started at {url}"));
                started.push(server);
                postgres = Some(url);
            }
            if nats.is_none() {
                let (server, url) = nats::start(kept).context("cannot start NATS")?;
                report::line(format_args!("NATS: started at {url}"));
                started.push(server);
                nats = Some(url);
            }
        }
        Ok(Self {
            postgres: postgres.expect("found or started above"),
            nats: nats.expect("found or started above"),
            _started: started,
            _folder: folder,
        })
    }

    /// What a test's environment must hold to find both.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [
            (POSTGRES_VARIABLE, &self.postgres),
            (NATS_VARIABLE, &self.nats),
        ]
    }
}

/// `cargo xtask services`: prints the variables as shell lines and stays until a signal.
pub fn keep(args: &ServicesArgs) -> anyhow::Result<()> {
    let services = Services::bring(args.services)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in services.variables() {
        writeln!(out, "export {name}={value}")?;
    }
    out.flush()?;
    report::line(format_args!("Ctrl-C stops what was started here"));
    while !child::interrupted() {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

struct Kind {
    name: &'static str,
    variable: &'static str,
    usual: &'static str,
    ask: fn(&Address) -> anyhow::Result<()>,
}

const POSTGRES: Kind = Kind {
    name: "PostgreSQL",
    variable: POSTGRES_VARIABLE,
    usual: "postgres://postgres@127.0.0.1:5432/postgres",
    ask: postgres::ask,
};

const NATS: Kind = Kind {
    name: "NATS",
    variable: NATS_VARIABLE,
    usual: "nats://127.0.0.1:4222",
    ask: nats::ask,
};

/// The URL of a server that answers and lets the tests in, if there is one and it is wanted.
fn find(kind: &Kind, mode: Mode) -> Option<String> {
    if mode == Mode::Private {
        return None;
    }
    let given = env::var(kind.variable).ok().filter(|url| !url.is_empty());
    let url = given.as_deref().unwrap_or(kind.usual);
    match Address::parse(url).and_then(|address| (kind.ask)(&address)) {
        Ok(()) => {
            report::line(format_args!("{}: using {}", kind.name, Shown(url)));
            Some(url.to_owned())
        }
        Err(error) => {
            report::line(format_args!("{}: not {}: {error:#}", kind.name, Shown(url)));
            None
        }
    }
}

/// A URL without its password, which must not end up in a CI log.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str(self.0);
        };
        match rest.rsplit_once('@') {
            Some((login, rest)) => {
                let user = login.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{rest}")
            }
            None => f.write_str(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn password_is_not_shown() {
        let shown = |url| Shown(url).to_string();
        assert_eq!(
            shown("postgres://me:s3@cret@db:5432/x"),
            "postgres://me@db:5432/x"
        );
        assert_eq!(shown("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    }
}
