//! What a long chain of responses costs: turns that each continue from the last. The model itself is asked with as many
//! messages, so what the server takes beyond it is its own share.

use crate::arena::{Arena, Pace, Tool};
use crate::device::{Device, Direct};
use crate::load::Work;
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

pub const NAME: &str = "chain";
/// Turns of the chain at which it is looked at.
const DEPTHS: [usize; 3] = [10, 100, 1_000];
const QUICK_DEPTHS: [usize; 2] = [10, 100];
/// Turns up to a depth whose median stands for it.
const WINDOW: usize = 10;
const CHAINS_MAX: usize = 3;
const GOAL: f64 = 1.1;

const COLUMNS: [&str; 5] = [
    "turn",
    "model, ms",
    "runyard, ms",
    "own share, ms",
    "of the first row's",
];

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    let runyard = arena.runyard().await?;
    let script = arena.script(pace);
    let depths: &[usize] = if plan.quick { &QUICK_DEPTHS } else { &DEPTHS };
    let mut times = [
        vec![Vec::new(); depths.len()],
        vec![Vec::new(); depths.len()],
    ];
    let last = depths.last().copied().unwrap_or_default();
    let chains = plan.rounds.min(CHAINS_MAX);
    for chain in 0..chains {
        let mut direct = Direct::new(arena.model_address()?, script.clone());
        let mut device = Device::begin(runyard.address, script.clone()).await?;
        let (mut by_model, mut by_server) = (Vec::new(), Vec::new());
        let mut previous: Option<String> = None;
        for _ in 0..last {
            by_model.push(stats::ms(direct.once().await?));
            direct.grow();
            let inferred = device.infer(previous.as_deref()).await?;
            by_server.push(stats::ms(inferred.time));
            previous = Some(inferred.id);
        }
        for (times, each) in times.iter_mut().zip([by_model, by_server]) {
            for (times, depth) in times.iter_mut().zip(depths) {
                times.push(stats::median(&each[depth.saturating_sub(WINDOW)..*depth]));
            }
        }
        progress(&format!("{NAME}, chain {} of {chains}", chain + 1));
    }
    let title = "turns of one session, each continuing from the response before it";
    let mut report = Report::new(NAME, title, &COLUMNS);
    let mut first_own = None;
    let mut ratio = 1.0;
    for (place, depth) in depths.iter().enumerate() {
        let [model, runyard] = [0, 1].map(|one: usize| stats::median(&times[one][place]));
        let own = runyard - model;
        ratio = own / *first_own.get_or_insert(own);
        report.rows.push(vec![
            Cell::count(*depth as u64),
            Cell::Number(model, 2),
            Cell::Number(runyard, 2),
            Cell::Number(own, 2),
            Cell::Number(ratio, 2),
        ]);
    }
    if first_own.is_some_and(|own| own > 0.0) {
        let what = format!(
            "own share of a chain's turn {last} against turn {}",
            depths[0]
        );
        report.checks.push(Check::at_most(what, ratio, GOAL, ""));
    } else {
        report.notes.push(super::DISTURBED.to_owned());
    }
    Ok(report)
}
