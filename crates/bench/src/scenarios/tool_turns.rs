//! Turns with one call of a tool that the server executes: two model turns and a call, all durable.

use crate::arena::{Arena, Pace, Tool};
use crate::report::{Check, Report};
use crate::run::Plan;

use super::{Lane, TURN_COLUMNS, rounds};

pub const NAME: &str = "tool_turns";
const STREAMS: usize = 16;
const RATIO_GOAL: f64 = 0.3;

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::Auto).await?;
    let (relay, runyard) = (arena.relay().await?, arena.runyard().await?);
    let script = arena.script(pace);
    let mut pair = [&relay, &runyard].map(|contestant| Lane::new(contestant, &script, STREAMS));
    rounds(&mut pair, plan, NAME).await?;
    let title = "a turn in which the model calls an SQL tool (`select 42`) once";
    let mut report = Report::new(NAME, title, &TURN_COLUMNS);
    let [relay, runyard] = &pair;
    let ratio = runyard.ratio_to(relay);
    report.rows.push(relay.cells(STREAMS, Some(1.0)));
    report.rows.push(runyard.cells(STREAMS, Some(ratio)));
    report.notes.extend(relay.notes());
    report.notes.extend(runyard.notes());
    let what = format!("tool turns, share of the relay's at {STREAMS} streams");
    report
        .checks
        .push(Check::at_least(what, ratio, RATIO_GOAL, ""));
    Ok(report)
}
