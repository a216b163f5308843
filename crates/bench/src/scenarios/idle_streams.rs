//! Streams that wait for a person: what each costs in memory while nothing happens, and what is given back.

use std::time::Duration;

use crate::arena::{Arena, Pace, Tool};
use crate::load::Errors;
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::turn::Session;

pub const NAME: &str = "idle_streams";
/// Streams that are being opened at the same time.
const OPENING: usize = 64;
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);
const GOAL_KB: f64 = 20.0;
const KB: f64 = 1_000.0;
const MB: f64 = 1_000_000.0;

const COLUMNS: [&str; 7] = [
    "server",
    "open streams",
    "memory before, MB",
    "with all open, MB",
    "a stream, kB",
    "all closed, MB",
    "errors",
];

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::Ask).await?;
    let runyard = arena.runyard().await?;
    let script = arena.script(pace);
    let resident = || runyard.process.memory().map(|memory| memory.now);
    tokio::time::sleep(SETTLE).await;
    let before = resident();
    let (mut open, mut errors) = (Vec::new(), Errors::default());
    while open.len() < plan.idle && errors.count() == 0 {
        let mut tasks = Vec::new();
        for _ in 0..OPENING.min(plan.idle - open.len()) {
            let mut session = Session::new(runyard.address, script.clone());
            tasks.push(tokio::spawn(async move {
                let thread = session.create_thread().await?;
                let wanted = b"approval_requested";
                let reading = session.run_until(&thread, wanted).await?;
                Ok((session, reading))
            }));
        }
        for task in tasks {
            match task.await? {
                Ok(waiting) => open.push(waiting),
                Err(error) => errors.add(&error),
            }
        }
    }
    progress(&format!("{NAME}: {} open", open.len()));
    tokio::time::sleep(SETTLE).await;
    let with_all = resident();
    let count = open.len();
    for (mut session, _) in open {
        session.disconnect();
    }
    tokio::time::sleep(SETTLE * 2).await;
    let closed = resident();
    let each = with_all
        .zip(before)
        .filter(|_| count > 0)
        .map(|(with_all, before)| (with_all - before) / count as f64 / KB);
    let title = "runs that wait for an approval, each with its stream open";
    let mut report = Report::new(NAME, title, &COLUMNS);
    let mb = |bytes: Option<f64>| Cell::maybe(bytes.map(|bytes| bytes / MB), 1);
    report.rows.push(vec![
        Cell::text(runyard.name),
        Cell::count(count as u64),
        mb(before),
        mb(with_all),
        Cell::maybe(each, 1),
        mb(closed),
        Cell::count(errors.count()),
    ]);
    report.notes.extend(errors.lines());
    if let Some(each) = each {
        report.checks.push(Check::at_most(
            "memory of an idle stream",
            each,
            GOAL_KB,
            " kB",
        ));
    }
    Ok(report)
}
