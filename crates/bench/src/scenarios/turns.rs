//! Turns a second: a new thread, a run of twenty tokens on it, read to the end; beside the relay and the disk.

use crate::arena::{Arena, Contestant, Pace, Tool};
use crate::disk::{self, SyncRate};
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

use super::{Lane, TURN_COLUMNS, rounds};

pub const NAME: &str = "turns";
/// The relay's share that a durable turn should reach with this many streams.
const GOAL_STREAMS: [usize; 2] = [64, 256];
const RATIO_GOAL: f64 = 0.5;
const CPU_GOAL_MS: f64 = 0.3;
/// What may be added to one sync before the first event, alone on the machine.
const FIRST_EVENT_GOAL_MS: f64 = 0.3;

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let (relay, runyard) = (arena.relay().await?, arena.runyard().await?);
    let title = "a new thread and a run of 20 tokens, durable on SQLite, against a relay that stores nothing";
    let mut report = Report::new(NAME, title, &TURN_COLUMNS);
    for streams in &plan.streams {
        let measured = measure(plan, &arena, [&relay, &runyard], *streams);
        measured.await?.into_report(&mut report);
    }
    Ok(report)
}

struct Measured<'a> {
    pair: [Lane<'a>; 2],
    syncs: Vec<SyncRate>,
    streams: usize,
}

async fn measure<'a>(
    plan: &Plan,
    arena: &Arena,
    contestants: [&'a Contestant; 2],
    streams: usize,
) -> anyhow::Result<Measured<'a>> {
    let script = arena.script(Pace::default());
    let mut pair = contestants.map(|contestant| Lane::new(contestant, &script, streams));
    let mut syncs = Vec::new();
    for _ in 0..2 {
        syncs.push(disk::sync_rate(arena.folder(), plan.time.mul_f64(0.2))?);
        let half = Plan {
            rounds: plan.rounds.div_ceil(2),
            ..plan.clone()
        };
        rounds(&mut pair, &half, &format!("{NAME}, {streams} streams")).await?;
    }
    syncs.push(disk::sync_rate(arena.folder(), plan.time.mul_f64(0.2))?);
    progress(&format!(
        "{NAME}: the disk syncs {:.0} times a second",
        stats::median(&syncs.iter().map(|rate| rate.per_s).collect::<Vec<_>>())
    ));
    Ok(Measured {
        pair,
        syncs,
        streams,
    })
}

impl Measured<'_> {
    fn sync(&self, part: fn(&SyncRate) -> f64) -> f64 {
        let values: Vec<f64> = self.syncs.iter().map(part).collect();
        stats::median(&values)
    }

    fn into_report(self, report: &mut Report) {
        let [relay, runyard] = &self.pair;
        let streams = self.streams;
        let ratio = runyard.ratio_to(relay);
        report.rows.push(relay.cells(streams, Some(1.0)));
        report.rows.push(runyard.cells(streams, Some(ratio)));
        let sync = self.sync(|rate| rate.p50_ms);
        let rate = runyard.median(|sample| sample.per_s);
        let per_s = self.sync(|rate| rate.per_s);
        let mut disk = vec![
            Cell::text("disk: 4 KiB append and sync"),
            Cell::None,
            Cell::Number(per_s, 0),
            Cell::None,
            Cell::Number(sync, 2),
            Cell::Number(self.sync(|rate| rate.p99_ms), 2),
        ];
        disk.resize_with(TURN_COLUMNS.len(), || Cell::None);
        report.rows.push(disk);
        report.notes.push(format!(
            "{streams} streams: {:.2} durable turns for each sync that the disk can do alone.",
            rate / per_s
        ));
        report.notes.extend(relay.notes());
        report.notes.extend(runyard.notes());
        if GOAL_STREAMS.contains(&streams) {
            let what = format!("turns, share of the relay's at {streams} streams");
            let check = Check::at_least(what, ratio, RATIO_GOAL, "");
            report.checks.push(check);
            if let Some(cpu) = runyard.median_maybe(|sample| sample.cpu_ms) {
                let what = format!("server CPU a turn at {streams} streams");
                let check = Check::at_most(what, cpu, CPU_GOAL_MS, " ms");
                report.checks.push(check);
            }
        }
        if streams == 1 {
            let first = runyard.median(|sample| sample.first_p50);
            if first < sync {
                // A sync is part of what comes before the first event: such figures only tell of a disturbed disk.
                report.notes.push(format!(
                    "1 stream: a sync alone took longer ({sync:.2} ms) than the first event ({first:.2} ms), so other work disturbed the disk, and the goal for the first event cannot be judged."
                ));
                return;
            }
            report.checks.push(Check::at_most(
                format!("first event p50 alone, beyond one sync of {sync:.2} ms"),
                first - sync,
                FIRST_EVENT_GOAL_MS,
                " ms",
            ));
        }
    }
}
