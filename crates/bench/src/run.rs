//! The benchmark's command line: which scenarios, how long, and where the results go.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::arena::Places;
use crate::machine;
use crate::report::Report;
use crate::scenarios::{self, SCENARIOS};

/// Rounds in which the contestants take turns.
const ROUNDS: usize = 5;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A few seconds in all: tells whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Run these scenarios alone
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = SCENARIOS.map(|scenario| scenario.name))]
    only: Vec<String>,
    /// Seconds of each measurement; a scenario has several in each round
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Rounds in which the contestants take turns
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Numbers of concurrent streams for `turns`
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    streams: Vec<usize>,
    /// Open streams for `idle_streams`; each takes a file descriptor here and one in the server
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    idle: usize,
    /// Write the results to this file in JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where servers keep their data while they are measured: a folder on the disk in question, not in memory
    /// [default: `bench-data` beside the release binaries]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// PostgreSQL to measure on, as a user that may create databases
    #[arg(
        long,
        value_name = "URL",
        env = "RUNYARD_TEST_POSTGRES",
        default_value = "postgres://postgres@127.0.0.1:5432/postgres"
    )]
    postgres: String,
    /// NATS over which the servers of `replicas` talk
    #[arg(
        long,
        value_name = "URL",
        env = "RUNYARD_TEST_NATS",
        default_value = "nats://127.0.0.1:4222"
    )]
    nats: String,
}

/// What a scenario is told.
#[derive(Debug, Clone)]
pub struct Plan {
    pub places: Places,
    pub time: Duration,
    pub rounds: usize,
    pub streams: Vec<usize>,
    pub idle: usize,
    pub postgres: String,
    pub nats: String,
    pub quick: bool,
}

impl Plan {
    fn of(args: &RunArgs) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let programs = program.parent().context("this program is in no folder")?;
        let data = args.data.clone();
        let (seconds, rounds) = if args.quick { (0.5, 1) } else { (3.0, ROUNDS) };
        let seconds = args.seconds.unwrap_or(seconds);
        anyhow::ensure!(
            seconds.is_finite() && seconds > 0.0,
            "--seconds must be more than 0"
        );
        Ok(Self {
            places: Places {
                programs: programs.to_owned(),
                data: data.unwrap_or_else(|| programs.join("bench-data")),
            },
            time: Duration::from_secs_f64(seconds),
            rounds: args.rounds.unwrap_or(rounds).max(1),
            streams: args.streams.clone(),
            idle: if args.quick {
                args.idle.min(200)
            } else {
                args.idle
            },
            postgres: args.postgres.clone(),
            nats: args.nats.clone(),
            quick: args.quick,
        })
    }
}

/// Measures, says how far it is on standard error, and prints the tables on standard output.
///
/// # Errors
/// If a scenario could not be run at all, after the others were. Missed goals and failed turns are results.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let plan = Plan::of(&args)?;
    let before = machine::load();
    let mut reports = Vec::new();
    let mut failed = Vec::new();
    for scenario in &SCENARIOS {
        let wanted = args.only.is_empty() || args.only.iter().any(|name| name == scenario.name);
        if !wanted {
            continue;
        }
        match scenarios::run(scenario, &plan).await {
            Ok(report) => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", report.markdown())?;
                out.flush()?;
                reports.push(report);
            }
            Err(error) => {
                progress(&format!("{}: {error:#}", scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    let mut goals = goals(&reports);
    goals.notes.push(machine::busy(before, machine::load()));
    writeln!(std::io::stdout().lock(), "{}", goals.markdown())?;
    if let Some(path) = &args.json {
        write_json(path, &reports)?;
    }
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// Every goal that was judged, in one table.
fn goals(reports: &[Report]) -> Report {
    let columns = ["goal", "at", "measured", "wanted", "outcome"];
    let mut goals = Report::new("goals", "what was wanted, and what came of it", &columns);
    for report in reports {
        for check in &report.checks {
            goals.rows.push(check.cells(report.name));
        }
    }
    goals
}

fn write_json(path: &PathBuf, reports: &[Report]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(reports)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// One line for who waits. A closed standard error is no reason to stop.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
