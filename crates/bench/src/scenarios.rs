//! The scenarios by name, and what they have in common: rounds of measurements of several contestants.

mod caller;
mod chain;
mod cold_start;
mod database;
mod execute;
mod history;
mod idle_streams;
mod inference;
mod mcp_calls;
mod policy;
mod postgres;
mod replicas;
mod streams;
mod tool_turns;
mod turns;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::arena::Contestant;
use crate::load::{Clients, Errors, Load};
use crate::process;
use crate::report::{Cell, Report};
use crate::run::{Plan, progress};
use crate::stats;
use crate::turn::Script;

/// Turns before those that are measured, so that connections are open and caches filled.
const WARM_UP: Duration = Duration::from_millis(300);

/// Serves the tool of `mcp_calls` on standard input and output.
pub use mcp_calls::serve as serve_mcp;

/// Said where a share cannot be judged.
const DISTURBED: &str = "What stores nothing took longer than the server, so other work disturbed the machine, and the goal cannot be judged.";

type Outcome<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Report>> + 'a>>;

pub struct Scenario {
    pub name: &'static str,
    run: for<'a> fn(&'a Plan) -> Outcome<'a>,
}

pub const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: turns::NAME,
        run: |plan| Box::pin(turns::run(plan)),
    },
    Scenario {
        name: tool_turns::NAME,
        run: |plan| Box::pin(tool_turns::run(plan)),
    },
    Scenario {
        name: inference::NAME,
        run: |plan| Box::pin(inference::run(plan)),
    },
    Scenario {
        name: execute::NAME,
        run: |plan| Box::pin(execute::run(plan)),
    },
    Scenario {
        name: mcp_calls::NAME,
        run: |plan| Box::pin(mcp_calls::run(plan)),
    },
    Scenario {
        name: policy::NAME,
        run: |plan| Box::pin(policy::run(plan)),
    },
    Scenario {
        name: streams::NAME,
        run: |plan| Box::pin(streams::run(plan)),
    },
    Scenario {
        name: idle_streams::NAME,
        run: |plan| Box::pin(idle_streams::run(plan)),
    },
    Scenario {
        name: history::NAME,
        run: |plan| Box::pin(history::run(plan)),
    },
    Scenario {
        name: chain::NAME,
        run: |plan| Box::pin(chain::run(plan)),
    },
    Scenario {
        name: cold_start::NAME,
        run: |plan| Box::pin(cold_start::run(plan)),
    },
    Scenario {
        name: postgres::NAME,
        run: |plan| Box::pin(postgres::run(plan)),
    },
    Scenario {
        name: replicas::NAME,
        run: |plan| Box::pin(replicas::run(plan)),
    },
];

pub async fn run(scenario: &Scenario, plan: &Plan) -> anyhow::Result<Report> {
    progress(&format!("{}: begins", scenario.name));
    (scenario.run)(plan).await
}

/// One contestant's figures of one round.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    per_s: f64,
    first_p50: f64,
    first_p99: f64,
    run_p50: f64,
    run_p99: f64,
    cpu_ms: Option<f64>,
    driver_cpu_ms: Option<f64>,
}

/// A contestant with its clients and what it has shown so far.
struct Lane<'a> {
    contestant: &'a Contestant,
    clients: Clients,
    samples: Vec<Sample>,
    errors: Errors,
}

impl<'a> Lane<'a> {
    fn new(contestant: &'a Contestant, script: &Arc<Script>, streams: usize) -> Self {
        Self {
            contestant,
            clients: Clients::new(contestant.address, script, streams),
            samples: Vec::new(),
            errors: Errors::default(),
        }
    }

    /// One round. The first is warmed up.
    async fn round(&mut self, time: Duration) -> anyhow::Result<()> {
        if self.samples.is_empty() {
            let load = self.clients.load(WARM_UP.min(time)).await?;
            self.errors.merge(load.errors);
        }
        let before = (self.contestant.process.cpu_s(), process::own_cpu_s());
        let load = self.clients.load(time).await?;
        let after = (self.contestant.process.cpu_s(), process::own_cpu_s());
        let each = |before: Option<f64>, after: Option<f64>| {
            let used = (after? - before?) * 1_000.0;
            (load.turns > 0).then(|| used / load.turns as f64)
        };
        self.samples.push(Sample {
            cpu_ms: each(before.0, after.0),
            driver_cpu_ms: each(before.1, after.1),
            ..Sample::of(&load)
        });
        self.errors.merge(load.errors);
        Ok(())
    }

    fn median(&self, part: impl Fn(&Sample) -> f64) -> f64 {
        let values: Vec<f64> = self.samples.iter().map(part).collect();
        stats::median(&values)
    }

    fn median_maybe(&self, part: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.samples.iter().filter_map(part).collect();
        (!values.is_empty()).then(|| stats::median(&values))
    }

    /// The median over the rounds of this one's rate divided by the other's in the same round.
    fn ratio_to(&self, other: &Self) -> f64 {
        let rounds = self.samples.iter().zip(&other.samples);
        let ratios: Vec<f64> = rounds
            .filter(|(_, other)| other.per_s > 0.0)
            .map(|(own, other)| own.per_s / other.per_s)
            .collect();
        stats::median(&ratios)
    }

    /// The cells of a row, as [`TURN_COLUMNS`] names them.
    fn cells(&self, streams: usize, ratio: Option<f64>) -> Vec<Cell> {
        let number = |part: fn(&Sample) -> f64| Cell::Number(self.median(part), 2);
        vec![
            Cell::text(self.contestant.name),
            Cell::count(streams as u64),
            Cell::Number(self.median(|sample| sample.per_s), 0),
            Cell::maybe(ratio, 2),
            number(|sample| sample.first_p50),
            number(|sample| sample.first_p99),
            number(|sample| sample.run_p50),
            number(|sample| sample.run_p99),
            Cell::maybe(self.median_maybe(|sample| sample.cpu_ms), 3),
            Cell::count(self.errors.count()),
        ]
    }

    fn say(&self, what: &str) {
        let last = self.samples.last().copied().unwrap_or_default();
        let driver = last
            .driver_cpu_ms
            .map_or(String::new(), |cpu| format!(", driver {cpu:.3} ms a turn"));
        progress(&format!(
            "{what}: {} {:.0}/s{driver}, {} errors",
            self.contestant.name,
            last.per_s,
            self.errors.count()
        ));
    }

    /// Failures as notes.
    fn notes(&self) -> impl Iterator<Item = String> + '_ {
        let name = self.contestant.name;
        self.errors
            .lines()
            .map(move |line| format!("{name}: {line}"))
    }
}

const TURN_COLUMNS: [&str; 10] = [
    "server",
    "streams",
    "turns/s",
    "ratio",
    "first event p50, ms",
    "p99",
    "run p50, ms",
    "p99",
    "server CPU a turn, ms",
    "errors",
];

impl Sample {
    fn of(load: &Load) -> Self {
        Self {
            per_s: load.per_s,
            first_p50: stats::percentile(&load.first_event_ms, 0.5),
            first_p99: stats::percentile(&load.first_event_ms, 0.99),
            run_p50: stats::percentile(&load.run_ms, 0.5),
            run_p99: stats::percentile(&load.run_ms, 0.99),
            cpu_ms: None,
            driver_cpu_ms: None,
        }
    }
}

/// Rounds of two contestants; each begins every other one.
async fn rounds(pair: &mut [Lane<'_>; 2], plan: &Plan, what: &str) -> anyhow::Result<()> {
    for round in 0..plan.rounds {
        for place in 0..2 {
            let lane = &mut pair[(round + place) % 2];
            lane.round(plan.time).await?;
            lane.say(&format!("{what}, round {} of {}", round + 1, plan.rounds));
        }
    }
    Ok(())
}
