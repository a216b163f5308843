//! What a tool call of a session costs beyond the tool: a query that takes microseconds, recorded before it is sent and
//! before it is answered. With the data in memory a sync costs nothing, which shows the work that is not the disk's.

use std::path::Path;
use std::time::Duration;

use crate::arena::{Arena, Contestant, Pace, Tool};
use crate::device::{Asks, Device, Executes};
use crate::disk;
use crate::load::{Times, Work, repeat};
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

pub const NAME: &str = "execute";
const CLIENTS: [usize; 2] = [1, 16];
/// A file system that is memory.
const MEMORY: &str = "/dev/shm";
const GOAL_MS: f64 = 0.2;

const COLUMNS: [&str; 7] = [
    "asked for",
    "clients",
    "a second",
    "p50, ms",
    "p99",
    "server CPU each, ms",
    "errors",
];

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::Auto).await?;
    let on_disk = arena.runyard().await?;
    let sync = disk::sync_rate(arena.folder(), plan.time.mul_f64(0.1))?.p50_ms;
    let title = "a call of an SQL tool (`select 42`) by a session's client, beside the least that a request can ask for";
    let mut report = Report::new(NAME, title, &COLUMNS);
    for clients in CLIENTS {
        calls(
            plan,
            &arena,
            &on_disk,
            "a call, data on disk",
            clients,
            &mut report,
        )
        .await?;
    }
    report.notes.push(format!(
        "A call on disk waits for two syncs, one before it is sent and one before it is answered; a sync alone took {sync:.2} ms."
    ));
    if !Path::new(MEMORY).is_dir() {
        report.notes.push(format!(
            "There is no {MEMORY}: nothing was measured without a disk."
        ));
        return Ok(report);
    }
    let in_memory = tempfile::Builder::new()
        .prefix("runyard-bench-")
        .tempdir_in(MEMORY)?;
    let without_disk = arena.runyard_at(in_memory.path()).await?;
    let mut beyond = None;
    for clients in CLIENTS {
        let asks = workers(&arena, &without_disk, clients)
            .await?
            .into_iter()
            .map(Asks);
        let asked = one(
            plan,
            &without_disk,
            "its own key",
            asks.collect(),
            &mut report,
        )
        .await?;
        let what = "a call, data in memory";
        let called = calls(plan, &arena, &without_disk, what, clients, &mut report).await?;
        beyond.get_or_insert(called - asked);
    }
    if let Some(beyond) = beyond {
        let what =
            "gateway per tool call without disk syncs and without the request's own cost, p50";
        report
            .checks
            .push(Check::at_most(what, beyond, GOAL_MS, " ms"));
    }
    Ok(report)
}

async fn workers(
    arena: &Arena,
    contestant: &Contestant,
    count: usize,
) -> anyhow::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for _ in 0..count {
        let script = arena.script(Pace::default());
        devices.push(Device::begin(contestant.address, script).await?);
    }
    Ok(devices)
}

async fn calls(
    plan: &Plan,
    arena: &Arena,
    contestant: &Contestant,
    what: &str,
    clients: usize,
    report: &mut Report,
) -> anyhow::Result<f64> {
    let devices = workers(arena, contestant, clients).await?;
    let devices = devices.into_iter().map(Executes).collect();
    one(plan, contestant, what, devices, report).await
}

/// Adds a row; returns its median.
async fn one<W: Work>(
    plan: &Plan,
    contestant: &Contestant,
    what: &str,
    mut workers: Vec<W>,
    report: &mut Report,
) -> anyhow::Result<f64> {
    let clients = workers.len();
    // The first calls open connections and fill caches.
    repeat(&mut workers, Duration::from_millis(100), Duration::ZERO).await?;
    let before = contestant.process.cpu_s();
    let times: Times = repeat(&mut workers, plan.time, Duration::ZERO).await?;
    let used = contestant.process.cpu_s().zip(before);
    let cpu = used.map(|(after, before)| (after - before) * 1_000.0 / times.ms.len().max(1) as f64);
    let p50 = stats::percentile(&times.ms, 0.5);
    progress(&format!("{NAME}, {what}, {clients} clients: {p50:.2} ms"));
    report.rows.push(vec![
        Cell::text(what),
        Cell::count(clients as u64),
        Cell::Number(times.per_s, 0),
        Cell::Number(p50, 2),
        Cell::Number(stats::percentile(&times.ms, 0.99), 2),
        Cell::maybe(cpu, 3),
        Cell::count(times.errors.count()),
    ]);
    report.notes.extend(times.errors.lines());
    Ok(p50)
}
