//! What an inference turn of a session costs beyond the model that answers it: the same paced answer, asked of the model
//! itself and of the server in front of it.

use std::time::Duration;

use crate::arena::{Arena, Pace, Tool};
use crate::device::{Device, Direct, Infers};
use crate::disk;
use crate::load::{Errors, Times, Work, repeat};
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

pub const NAME: &str = "inference";
const STREAMS: [usize; 4] = [1, 16, 64, 256];
const QUICK_STREAMS: [usize; 2] = [1, 16];
const ROUNDS_MAX: usize = 2;
/// Between two tokens, as a quick model has it.
const TOKEN_DELAY_MS: u64 = 10;
/// As long as a turn takes, so that turns do not go in step.
const SPREAD: Duration = Duration::from_millis(200);
const GOAL_STREAMS: usize = 16;
/// What may be added to one sync.
const GOAL_MS: f64 = 0.5;

const COLUMNS: [&str; 9] = [
    "streams",
    "model p50, ms",
    "p99",
    "turn p50, ms",
    "p99",
    "beyond the model p50, ms",
    "p99",
    "server CPU a turn, ms",
    "errors",
];

/// Medians over the rounds of one number of streams.
#[derive(Debug, Default)]
struct Figures {
    direct: [Vec<f64>; 2],
    turn: [Vec<f64>; 2],
    cpu: Vec<f64>,
    errors: Errors,
}

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace {
        token_delay_ms: TOKEN_DELAY_MS,
        ..Pace::default()
    };
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let runyard = arena.runyard().await?;
    let script = arena.script(pace);
    let title = format!(
        "an inference turn of a session, 20 tokens at {TOKEN_DELAY_MS} ms each, beside the same asked of the model itself"
    );
    let mut report = Report::new(NAME, title, &COLUMNS);
    let all: &[usize] = if plan.quick { &QUICK_STREAMS } else { &STREAMS };
    let time = plan.time.mul_f64(0.6);
    for &streams in all {
        let model = arena.model_address()?;
        let mut direct: Vec<Direct> = (0..streams)
            .map(|_| Direct::new(model, script.clone()))
            .collect();
        let mut infers = Vec::new();
        for _ in 0..streams {
            infers.push(Infers(
                Device::begin(runyard.address, script.clone()).await?,
            ));
        }
        let mut figures = Figures::default();
        let sync = disk::sync_rate(arena.folder(), plan.time.mul_f64(0.1))?.p50_ms;
        for round in 0..plan.rounds.min(ROUNDS_MAX) {
            let times = measure(&mut direct, time).await?;
            figures.errors.merge(add(&mut figures.direct, times));
            let before = runyard.process.cpu_s();
            let times = measure(&mut infers, time).await?;
            let turns = times.ms.len();
            if let (Some(before), Some(after)) = (before, runyard.process.cpu_s()) {
                let used = (after - before) * 1_000.0;
                figures.cpu.extend((turns > 0).then(|| used / turns as f64));
            }
            figures.errors.merge(add(&mut figures.turn, times));
            progress(&format!("{NAME}, {streams} streams, round {}", round + 1));
        }
        figures.into_report(&mut report, streams, sync);
    }
    Ok(report)
}

async fn measure<W: Work>(workers: &mut Vec<W>, time: Duration) -> anyhow::Result<Times> {
    repeat(workers, time + SPREAD, SPREAD).await
}

fn add(to: &mut [Vec<f64>; 2], times: Times) -> Errors {
    to[0].push(stats::percentile(&times.ms, 0.5));
    to[1].push(stats::percentile(&times.ms, 0.99));
    times.errors
}

impl Figures {
    fn into_report(self, report: &mut Report, streams: usize, sync: f64) {
        let [direct_p50, direct_p99] = self.direct.map(|values| stats::median(&values));
        let [turn_p50, turn_p99] = self.turn.map(|values| stats::median(&values));
        let beyond = turn_p50 - direct_p50;
        report.rows.push(vec![
            Cell::count(streams as u64),
            Cell::Number(direct_p50, 2),
            Cell::Number(direct_p99, 2),
            Cell::Number(turn_p50, 2),
            Cell::Number(turn_p99, 2),
            Cell::Number(beyond, 2),
            Cell::Number(turn_p99 - direct_p99, 2),
            Cell::maybe((!self.cpu.is_empty()).then(|| stats::median(&self.cpu)), 3),
            Cell::count(self.errors.count()),
        ]);
        report.notes.extend(self.errors.lines());
        if streams == GOAL_STREAMS {
            report.checks.push(Check::at_most(
                format!("inference turn at {streams} streams beyond the model p50, beyond one sync of {sync:.2} ms"),
                beyond - sync,
                GOAL_MS,
                " ms",
            ));
        }
    }
}
