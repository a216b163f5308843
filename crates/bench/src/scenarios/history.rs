//! What a long conversation costs: turns one after another on the same thread. The relay sends the model a body of the
//! same size, so what the server takes beyond it is its own share.

use crate::arena::{Arena, Contestant, Pace, Tool};
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;
use crate::turn::Session;

pub const NAME: &str = "history";
/// Messages before the turn.
const LENGTHS: [usize; 3] = [10, 100, 1_000];
const QUICK_LENGTHS: [usize; 2] = [10, 100];
/// Turns whose median stands for a length.
const WINDOW: usize = 10;
const THREADS_MAX: usize = 5;
const GOAL: f64 = 1.2;

const COLUMNS: [&str; 5] = [
    "messages before",
    "relay, ms",
    "runyard, ms",
    "own share, ms",
    "of the first row's",
];

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let mut arena = Arena::new(&plan.places, Pace::default(), Tool::None).await?;
    let both = [arena.relay().await?, arena.runyard().await?];
    let lengths: &[usize] = if plan.quick { &QUICK_LENGTHS } else { &LENGTHS };
    // Times by contestant, length and thread.
    let mut times = [
        vec![Vec::new(); lengths.len()],
        vec![Vec::new(); lengths.len()],
    ];
    let threads = plan.rounds.min(THREADS_MAX);
    for thread in 0..threads {
        for place in 0..2 {
            let one = (thread + place) % 2;
            let medians = grow(&arena, &both[one], lengths).await?;
            progress(&format!(
                "{NAME}, thread {} of {threads}: {} {medians:.2?} ms",
                thread + 1,
                both[one].name
            ));
            for (times, median) in times[one].iter_mut().zip(medians) {
                times.push(median);
            }
        }
    }
    let title = "a turn on a thread with so many messages, alone on the machine";
    let mut report = Report::new(NAME, title, &COLUMNS);
    let mut first_own = None;
    let mut ratio = 1.0;
    for (place, length) in lengths.iter().enumerate() {
        let [relay, runyard] = [0, 1].map(|one: usize| stats::median(&times[one][place]));
        let own = runyard - relay;
        ratio = own / *first_own.get_or_insert(own);
        report.rows.push(vec![
            Cell::count(*length as u64),
            Cell::Number(relay, 2),
            Cell::Number(runyard, 2),
            Cell::Number(own, 2),
            Cell::Number(ratio, 2),
        ]);
    }
    if first_own.is_some_and(|own| own > 0.0) {
        let what = "own share with the longest history, against the shortest";
        report.checks.push(Check::at_most(what, ratio, GOAL, ""));
    } else {
        report.notes.push(super::DISTURBED.to_owned());
    }
    Ok(report)
}

/// Grows one thread past the greatest length; the median time in milliseconds of the turns at each length.
async fn grow(
    arena: &Arena,
    contestant: &Contestant,
    lengths: &[usize],
) -> anyhow::Result<Vec<f64>> {
    let mut session = Session::new(contestant.address, arena.script(Pace::default()));
    let thread = session.create_thread().await?;
    let mut runs = Vec::new();
    // Each turn adds a question and an answer.
    let turns = lengths.last().copied().unwrap_or_default() / 2 + WINDOW;
    for _ in 0..turns {
        runs.push(stats::ms(session.run(&thread).await?.run));
    }
    let window = |length: &usize| stats::median(&runs[length / 2..length / 2 + WINDOW]);
    Ok(lengths.iter().map(window).collect())
}
