//! The same turns on PostgreSQL and on SQLite, both on this machine.

use crate::arena::{Arena, Pace, Tool};
use crate::report::{Check, Report};
use crate::run::Plan;

use super::database::Database;
use super::{Lane, TURN_COLUMNS, rounds};

pub const NAME: &str = "postgres";
const STREAMS: usize = 64;
const RATIO_GOAL: f64 = 0.5;

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let database = Database::create(&plan.postgres)?;
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let sqlite = arena.runyard().await?;
    let postgres = arena.runyard_on(&database.url()?).await?;
    let script = arena.script(pace);
    let mut pair = [&sqlite, &postgres].map(|contestant| Lane::new(contestant, &script, STREAMS));
    rounds(&mut pair, plan, NAME).await?;
    let title = "the same turns on PostgreSQL (its own processor time not counted) and on SQLite";
    let mut report = Report::new(NAME, title, &TURN_COLUMNS);
    let [sqlite, postgres] = &pair;
    let ratio = postgres.ratio_to(sqlite);
    report.rows.push(sqlite.cells(STREAMS, Some(1.0)));
    report.rows.push(postgres.cells(STREAMS, Some(ratio)));
    report.notes.extend(sqlite.notes());
    report.notes.extend(postgres.notes());
    let what = format!("turns on PostgreSQL, share of SQLite's at {STREAMS} streams");
    report
        .checks
        .push(Check::at_least(what, ratio, RATIO_GOAL, ""));
    Ok(report)
}
