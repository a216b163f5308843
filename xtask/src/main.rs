//! Repository chores behind `cargo xtask`; knows commands and services, nothing of what Runyard does.

mod bench;
mod child;
mod clients;
mod deny;
mod faults;
mod places;
mod races;
mod report;
mod services;
mod stages;
mod sweep;
mod tally;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check and test everything, with PostgreSQL and NATS brought along
    Test(stages::TestArgs),
    /// Measure the server beside a bare relay and the disk, in release builds
    #[command(disable_help_flag = true)]
    Bench(bench::BenchArgs),
    /// Kill the server at every named crash point, again and again, and say what became of its runs
    Sweep(sweep::SweepArgs),
    /// Let approve, deny, cancel and expiry meet, again and again, and check that one of them wins
    Races(races::RacesArgs),
    /// Switch the seeded faults on, one at a time, and check that the tests catch each
    Faults(faults::FaultsArgs),
    /// Bring PostgreSQL and NATS, print where they are, and keep them until Ctrl-C
    Services(services::ServicesArgs),
    /// Check licences, advisories and sources of every dependency
    Deny {
        /// Check only these (`licenses`, `bans`, `sources` need no network, `advisories` does)
        checks: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = child::watch_signals().and_then(|()| match cli.command {
        Command::Test(args) => stages::test(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Races(args) => races::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Services(args) => services::keep(&args),
        Command::Deny { checks } => deny::check(&checks),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // 130 is what shells report for a command that Ctrl-C ended.
        Err(_) if child::interrupted() => {
            report::line(format_args!("interrupted"));
            ExitCode::from(130)
        }
        Err(error) => {
            report::line(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
