//! Many paced streams opened at once: when they are done, how late tokens are, what memory they take at most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arena::{Arena, Contestant, Pace, Tool};
use crate::load::Errors;
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;
use crate::turn::{Script, Session};

pub const NAME: &str = "streams";
const STREAMS: usize = 1_000;
const QUICK_STREAMS: usize = 100;
const ROUNDS_MAX: usize = 3;
const TOKEN_DELAY_MS: u64 = 50;
const DONE_GOAL_S: f64 = 1.2;
const LAG_GOAL_MS: f64 = 25.0;
const PEAK_GOAL_MB: f64 = 80.0;
const MB: f64 = 1_000_000.0;

const COLUMNS: [&str; 9] = [
    "server",
    "finished",
    "all done, s",
    "first event p50, ms",
    "p99",
    "token lag p50, ms",
    "p99",
    "CPU, s",
    "peak memory, MB",
];

#[derive(Debug, Default)]
struct Burst {
    finished: usize,
    done_s: f64,
    first_p50: f64,
    first_p99: f64,
    lag_p50: f64,
    lag_p99: f64,
    cpu_s: Option<f64>,
    errors: Errors,
}

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace {
        token_delay_ms: TOKEN_DELAY_MS,
        stamped: true,
        ..Pace::default()
    };
    let streams = if plan.quick { QUICK_STREAMS } else { STREAMS };
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let script = arena.script(pace);
    let both = [arena.relay().await?, arena.runyard().await?];
    let mut bursts: [Vec<Burst>; 2] = [Vec::new(), Vec::new()];
    let rounds = plan.rounds.min(ROUNDS_MAX);
    for round in 0..rounds {
        for place in 0..2 {
            let one = (round + place) % 2;
            let burst = burst(&both[one], &script, streams).await?;
            progress(&format!(
                "{NAME}, round {} of {rounds}: {} {} of {streams} done in {:.2} s, lag p99 {:.1} ms",
                round + 1,
                both[one].name,
                burst.finished,
                burst.done_s,
                burst.lag_p99
            ));
            bursts[one].push(burst);
        }
    }
    let title = format!(
        "{streams} connections, threads and runs opened at once, 20 tokens at {TOKEN_DELAY_MS} ms each (ideal 0.95 s)"
    );
    let mut report = Report::new(NAME, title, &COLUMNS);
    for (contestant, bursts) in both.iter().zip(&bursts) {
        add(&mut report, contestant, bursts);
    }
    Ok(report)
}

async fn burst(
    contestant: &Contestant,
    script: &Arc<Script>,
    streams: usize,
) -> anyhow::Result<Burst> {
    let cpu = contestant.process.cpu_s();
    let begin = Instant::now();
    let mut tasks = Vec::with_capacity(streams);
    for _ in 0..streams {
        let mut session = Session::new(contestant.address, script.clone());
        tasks.push(tokio::spawn(async move {
            let turn = session.turn().await;
            (turn, session.lags_ms)
        }));
    }
    let (mut first, mut lags) = (Vec::new(), Vec::new());
    let mut burst = Burst::default();
    for task in tasks {
        let (turn, lag) = task.await?;
        match turn {
            Ok(taken) => {
                burst.finished += 1;
                first.push(stats::ms(taken.first_event));
            }
            Err(error) => burst.errors.add(&error),
        }
        lags.extend(lag);
    }
    burst.done_s = begin.elapsed().as_secs_f64();
    let (first, lags) = (stats::sorted(first), stats::sorted(lags));
    burst.first_p50 = stats::percentile(&first, 0.5);
    burst.first_p99 = stats::percentile(&first, 0.99);
    burst.lag_p50 = stats::percentile(&lags, 0.5);
    burst.lag_p99 = stats::percentile(&lags, 0.99);
    // Ticks of the last moments are booked a little later.
    tokio::time::sleep(Duration::from_millis(20)).await;
    burst.cpu_s = contestant
        .process
        .cpu_s()
        .zip(cpu)
        .map(|(after, before)| after - before);
    Ok(burst)
}

fn add(report: &mut Report, contestant: &Contestant, bursts: &[Burst]) {
    let median = |part: fn(&Burst) -> f64| {
        let values: Vec<f64> = bursts.iter().map(part).collect();
        stats::median(&values)
    };
    let done = median(|burst| burst.done_s);
    let lag = median(|burst| burst.lag_p99);
    let peak = contestant.process.memory().map(|memory| memory.peak / MB);
    let cpu: Option<Vec<f64>> = bursts.iter().map(|burst| burst.cpu_s).collect();
    report.rows.push(vec![
        Cell::text(contestant.name),
        Cell::Number(median(|burst| burst.finished as f64), 0),
        Cell::Number(done, 2),
        Cell::Number(median(|burst| burst.first_p50), 1),
        Cell::Number(median(|burst| burst.first_p99), 1),
        Cell::Number(median(|burst| burst.lag_p50), 1),
        Cell::Number(lag, 1),
        Cell::maybe(cpu.map(|cpu| stats::median(&cpu)), 2),
        Cell::maybe(peak, 0),
    ]);
    let mut errors = Errors::default();
    for burst in bursts {
        errors.merge(burst.errors.clone());
    }
    let name = contestant.name;
    report
        .notes
        .extend(errors.lines().map(|line| format!("{name}: {line}")));
    if name != "runyard" {
        return;
    }
    report
        .checks
        .push(Check::at_most("all done", done, DONE_GOAL_S, " s"));
    report
        .checks
        .push(Check::at_most("token lag p99", lag, LAG_GOAL_MS, " ms"));
    if let Some(peak) = peak {
        report
            .checks
            .push(Check::at_most("peak memory", peak, PEAK_GOAL_MB, " MB"));
    }
}
