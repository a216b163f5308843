//! `cargo xtask sweep`: the crash sweep of the server's tests in its long form, and what it found in figures. It does
//! not know what a crash point is.

use crate::services::{Mode, Services};
use crate::{child, places, report};
use anyhow::{Context, ensure};
use clap::Args;
use std::fs;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct SweepArgs {
    /// How often to kill at each point on each store, each time at another passage of it
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where PostgreSQL may come from
    #[arg(long, value_enum, default_value_t, env = "RUNYARD_SERVICES")]
    services: Mode,
}

/// What the test says of one point on one store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    store: String,
    point: String,
    kills: u64,
    runs: u64,
    wrong: u64,
    slowest: Duration,
}

/// Runs the sweep and prints its totals. Fails if anything was lost, doubled or left undone.
pub fn run(args: &SweepArgs) -> anyhow::Result<()> {
    let services = Services::bring(args.services)?;
    let path = places::root().join("target").join("sweep.txt");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let begun = Instant::now();
    let mut command = child::cargo();
    command
        .args([
            "test", "--locked", "-p", "server", "--test", "crash", "sweep::",
        ])
        .envs(services.variables())
        .env("RUNYARD_SWEEP_ROUNDS", args.rounds.to_string())
        .env("RUNYARD_SWEEP_REPORT", &path)
        .current_dir(places::root());
    let status = child::run(&mut command)?;
    let text = fs::read_to_string(&path).context("the sweep ended without a report")?;
    let lines = parse(&text).context("the sweep's report cannot be read")?;
    for line in summary(&lines, begun.elapsed()) {
        report::line(format_args!("{line}"));
    }
    ensure!(status.success(), "cargo test: {status}");
    Ok(())
}

fn parse(text: &str) -> Option<Vec<Line>> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (store, point) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(Line {
            store,
            point,
            kills: number()?,
            runs: number()?,
            wrong: number()?,
            slowest: Duration::from_millis(number()?),
        })
    };
    text.lines().map(line).collect()
}

fn summary(lines: &[Line], elapsed: Duration) -> Vec<String> {
    let mut said = vec![format!(
        "{:<9} {:<31} {:>6} {:>7} {:>6} {:>12}",
        "store", "point", "kills", "runs", "wrong", "slowest end"
    )];
    said.extend(lines.iter().map(|line| {
        let slowest = format!("{:.1} s", line.slowest.as_secs_f64());
        format!(
            "{:<9} {:<31} {:>6} {:>7} {:>6} {slowest:>12}",
            line.store, line.point, line.kills, line.runs, line.wrong
        )
    }));
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
    let (kills, runs, wrong) = (
        sum(|line| line.kills),
        sum(|line| line.runs),
        sum(|line| line.wrong),
    );
    let slowest = lines.iter().map(|line| line.slowest).max();
    said.push(format!(
        "{kills} kills with {runs} runs in {}: {wrong} wrong; the slowest run ended {:.1} s after the start",
        report::elapsed(elapsed),
        slowest.unwrap_or_default().as_secs_f64()
    ));
    if wrong == 0 && kills > 0 {
        said.push(format!(
            "with 95% confidence less than {} of kills and {} of runs go wrong (3/N)",
            percent(kills),
            percent(runs)
        ));
    }
    said
}

/// The bound that no failure in `trials` gives.
fn percent(trials: u64) -> String {
    format!("{:.3}%", 300.0 / trials as f64)
}

#[cfg(test)]
mod tests {
    use super::{parse, summary};
    use std::time::Duration;

    #[test]
    fn report_is_summed_up() {
        let text = "sqlite turn.mid_stream 25 300 0 812\npostgres turn.mid_stream 25 300 0 2812\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines[1].slowest, Duration::from_millis(2812));
        let said = summary(&lines, Duration::from_secs(61));
        assert_eq!(said.len(), 5);
        assert!(
            said[3].starts_with("50 kills with 600 runs in 1 min 01 s: 0 wrong"),
            "{}",
            said[3]
        );
        assert!(
            said[4].contains("6.000% of kills and 0.500% of runs"),
            "{}",
            said[4]
        );
    }

    #[test]
    fn nothing_is_promised_where_something_went_wrong() {
        let lines = parse("sqlite run.after_create 25 300 1 9").unwrap();
        assert_eq!(summary(&lines, Duration::ZERO).len(), 3);
        assert_eq!(parse("sqlite run.after_create 25"), None);
    }
}
