//! `cargo xtask races`: decisions that meet, many more of them than the tests make. It does not know what they decide.

use crate::services::{Mode, Services};
use crate::{child, places, report};
use anyhow::ensure;
use clap::Args;
use std::time::Instant;

#[derive(Args)]
pub struct RacesArgs {
    /// Races on each store
    #[arg(default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    races: u32,
    /// Where PostgreSQL may come from
    #[arg(long, value_enum, default_value_t, env = "RUNYARD_SERVICES")]
    services: Mode,
}

/// Fails if a race had two winners, or somebody was told wrong.
pub fn run(args: &RacesArgs) -> anyhow::Result<()> {
    let services = Services::bring(args.services)?;
    let begun = Instant::now();
    let mut command = child::cargo();
    command
        .args([
            "test", "--locked", "-p", "engine", "--test", "it", "races::",
        ])
        .envs(services.variables())
        .env("RUNYARD_RACES", args.races.to_string())
        .current_dir(places::root());
    let status = child::run(&mut command)?;
    ensure!(status.success(), "cargo test: {status}");
    report::line(format_args!(
        "{} races on each store, one winner each, in {} s",
        args.races,
        begun.elapsed().as_secs()
    ));
    Ok(())
}
