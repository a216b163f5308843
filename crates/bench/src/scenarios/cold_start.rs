//! From the start of the process to its first readiness on a store that has been used, and its memory while idle.

use std::time::Duration;

use crate::arena::{Arena, Pace, Tool};
use crate::load::Clients;
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

pub const NAME: &str = "cold_start";
const STARTS: usize = 10;
const QUICK_STARTS: usize = 3;
/// Clients that fill the store before.
const STREAMS: usize = 16;
const IDLE: Duration = Duration::from_secs(2);
const READY_GOAL_MS: f64 = 60.0;
const MEMORY_GOAL_MB: f64 = 30.0;
const MB: f64 = 1_000_000.0;

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let data = arena.new_data()?;
    let first = arena.runyard_at(&data).await?;
    let script = arena.script(pace);
    let mut clients = Clients::new(first.address, &script, STREAMS);
    let filled = clients.load(plan.time).await?;
    drop(clients);
    first.process.end().await?;
    progress(&format!("{NAME}: the store has {} runs", filled.turns));
    let starts = if plan.quick { QUICK_STARTS } else { STARTS };
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for start in 0..starts {
        let contestant = arena.runyard_at(&data).await?;
        ready.push(stats::ms(contestant.ready_after));
        if start == 0 {
            tokio::time::sleep(IDLE).await;
            memory.extend(contestant.process.memory());
        }
        contestant.process.end().await?;
    }
    let ready = stats::sorted(ready);
    let median = stats::median(&ready);
    let idle = memory.first().map(|memory| memory.now / MB);
    let columns = [
        "server",
        "starts",
        "ready p50, ms",
        "slowest, ms",
        "idle memory, MB",
    ];
    let title = format!("start on a store with {} runs", filled.turns);
    let mut report = Report::new(NAME, title, &columns);
    report.rows.push(vec![
        Cell::text("runyard"),
        Cell::count(starts as u64),
        Cell::Number(median, 1),
        Cell::Number(stats::percentile(&ready, 1.0), 1),
        Cell::maybe(idle, 1),
    ]);
    report.notes.extend(filled.errors.lines());
    report.checks.push(Check::at_most(
        "start to ready, median",
        median,
        READY_GOAL_MS,
        " ms",
    ));
    if let Some(idle) = idle {
        report
            .checks
            .push(Check::at_most("idle memory", idle, MEMORY_GOAL_MB, " MB"));
    }
    Ok(report)
}
