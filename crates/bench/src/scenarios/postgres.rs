//! The same turns on PostgreSQL and on SQLite, both on this machine.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::arena::{Arena, Pace, Tool};
use crate::report::{Check, Report};
use crate::run::Plan;

use super::{Lane, TURN_COLUMNS, rounds};

pub const NAME: &str = "postgres";
const STREAMS: usize = 64;
const RATIO_GOAL: f64 = 0.5;

/// A database of its own, dropped with this value.
struct Database {
    server: String,
    name: String,
}

impl Database {
    fn create(server: &str) -> anyhow::Result<Self> {
        let database = Self {
            server: server.to_owned(),
            name: format!("runyard_bench_{}", std::process::id()),
        };
        let create = format!("create database {}", database.name);
        let done = psql(server, &create).context("psql is not installed")?;
        ensure!(
            done,
            "PostgreSQL does not answer at the address that RUNYARD_TEST_POSTGRES or --postgres gives, or its user may not create databases"
        );
        Ok(database)
    }

    /// The server's URL with this database's name in place of its own.
    fn url(&self) -> anyhow::Result<String> {
        let (base, _) = self
            .server
            .rsplit_once('/')
            .context("the URL of PostgreSQL names no database")?;
        Ok(format!("{base}/{}", self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A failure leaves an empty-handed database behind; there is nobody to tell.
        let _ = psql(
            &self.server,
            &format!("drop database if exists {} with (force)", self.name),
        );
    }
}

fn psql(server: &str, statement: &str) -> std::io::Result<bool> {
    let status = Command::new("psql")
        .args([server, "--quiet", "--no-psqlrc", "--command", statement])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    Ok(status.success())
}

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let database = Database::create(&plan.postgres)?;
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let sqlite = arena.runyard().await?;
    let postgres = arena.runyard_on(&database.url()?).await?;
    let script = arena.script(pace);
    let mut pair = [&sqlite, &postgres].map(|contestant| Lane::new(contestant, &script, STREAMS));
    rounds(&mut pair, plan, NAME).await?;
    let title = "the same turns on PostgreSQL (its own processor time not counted) and on SQLite";
    let mut report = Report::new(NAME, title, &TURN_COLUMNS);
    let [sqlite, postgres] = &pair;
    let ratio = postgres.ratio_to(sqlite);
    report.rows.push(sqlite.cells(STREAMS, Some(1.0)));
    report.rows.push(postgres.cells(STREAMS, Some(ratio)));
    report.notes.extend(sqlite.notes());
    report.notes.extend(postgres.notes());
    let what = format!("turns on PostgreSQL, share of SQLite's at {STREAMS} streams");
    report
        .checks
        .push(Check::at_least(what, ratio, RATIO_GOAL, ""));
    Ok(report)
}
