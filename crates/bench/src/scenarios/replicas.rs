//! One, two and three servers on one database and NATS: what they do together, and what a turn costs each kind of
//! process. All share this machine, so the processor time of a turn is what carries over to others.

mod commits;
mod cost;
mod open_streams;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::Patience;

use crate::arena::{Arena, Contestant, Meeting, Pace, Tool};
use crate::load::{Clients, Errors};
use crate::process::{self, Found};
use crate::report::{Cell, Report};
use crate::run::{Plan, progress};
use crate::turn::Script;
use crate::{machine, stats};

use super::database::Database;
use commits::Commits;
use cost::{Clocks, Cost};
use open_streams::OpenStreams;
use table::{COLUMNS, Samples, row};

pub const NAME: &str = "replicas";
const COUNTS: [usize; 3] = [1, 2, 3];
/// As many for one server as for three.
const CLIENTS: usize = 64;
/// Turns before those that are measured: each group of servers is new.
const WARM_UP: Duration = Duration::from_secs(1);
/// Streams for each server.
const STREAMS: usize = 300;
const QUICK_STREAMS: usize = 60;
/// Rounds of open streams, which take longer.
const STREAM_ROUNDS_MAX: usize = 3;
/// Ticks of the last moments are booked a little later.
const BOOKING: Duration = Duration::from_millis(20);
/// Processors that others may have before figures are called disturbed: somewhat more than the system's own work takes.
const OTHERS_MAX: f64 = 0.2;
const ELSEWHERE: &str = "Token lag elsewhere is that of streams at another server than the one that drives the run; with 1 replica, of second streams at that one.";
const POSTGRES_PORT: u16 = 5432;
const NATS_PORT: u16 = 4222;

/// What the servers share, gone with this value where it was made for them.
struct Ground {
    database: Database,
    database_url: String,
    nats: String,
    /// `None` if it cannot be told what they cost.
    services: Services,
}

#[derive(Clone, Copy)]
struct Services {
    postgres: Option<Found>,
    nats: Option<Found>,
}

/// What one group of servers has shown in one round.
#[derive(Debug, Default)]
struct Sample {
    per_s: f64,
    run_p50: f64,
    run_p99: f64,
    cost: Cost,
    /// A turn's.
    commits: Option<Commits>,
    errors: Errors,
}

impl Ground {
    async fn find(plan: &Plan) -> anyhow::Result<Self> {
        let database = Database::create(&plan.postgres)?;
        let settings = bus::Settings {
            url: plan.nats.clone(),
            prefix: database.name.clone(),
            credentials: None,
        };
        bus::connect(&settings, Patience::Now).await.context(
            "NATS does not answer at the address that RUNYARD_TEST_NATS or --nats gives; `cargo xtask services` starts one",
        )?;
        let services = Services {
            postgres: Found::at(&plan.postgres, POSTGRES_PORT, "postgres"),
            nats: Found::at(&plan.nats, NATS_PORT, "nats-server"),
        };
        Ok(Self {
            database_url: database.url()?,
            database,
            nats: plan.nats.clone(),
            services,
        })
    }

    /// New servers, all ready.
    async fn group(&self, arena: &mut Arena, count: usize) -> anyhow::Result<Vec<Contestant>> {
        let meeting = Meeting {
            database_url: &self.database_url,
            nats: &self.nats,
            prefix: &self.database.name,
        };
        let mut group = Vec::with_capacity(count);
        for _ in 0..count {
            group.push(arena.replica(meeting).await?);
        }
        Ok(group)
    }
}

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let ground = Ground::find(plan).await?;
    let pace = Pace::default();
    let mut arena = Arena::new(&plan.places, pace, Tool::None).await?;
    // The first makes the tables, so that none that is measured has to.
    end(ground.group(&mut arena, 1).await?).await?;
    let script = arena.script(pace);
    let mut samples: Samples<Sample> = Default::default();
    for (round, at) in order(plan.rounds) {
        let group = ground.group(&mut arena, COUNTS[at]).await?;
        let sample = turns(&group, &arena, ground.services, &script, plan.time).await?;
        end(group).await?;
        progress(&format!(
            "{NAME}, round {} of {}: {} {:.0}/s, {} errors",
            round + 1,
            plan.rounds,
            named(COUNTS[at]),
            sample.per_s,
            sample.errors.count()
        ));
        samples[at].push(sample);
    }
    drop(arena);
    let mut arena = Arena::new(&plan.places, open_streams::PACE, Tool::None).await?;
    let script = arena.script(open_streams::PACE);
    let mut streams: Samples<OpenStreams> = Default::default();
    let rounds = plan.rounds.min(STREAM_ROUNDS_MAX);
    let each = if plan.quick { QUICK_STREAMS } else { STREAMS };
    for (round, at) in order(rounds) {
        let group = ground.group(&mut arena, COUNTS[at]).await?;
        let shown = open_streams::measure(&group, &script, each).await?;
        end(group).await?;
        progress(&format!(
            "{NAME}, round {} of {rounds}: {}, {} streams, token lag p99 {:.1} ms, elsewhere {:.1} ms",
            round + 1,
            named(COUNTS[at]),
            shown.at_once,
            shown.near_ms[1],
            shown.far_ms[1]
        ));
        streams[at].push(shown);
    }
    Ok(report(&samples, &streams))
}

fn named(count: usize) -> String {
    match count {
        1 => "1 replica".to_owned(),
        _ => format!("{count} replicas"),
    }
}

/// In each round another group begins: the round and the group's place, one after the other.
fn order(rounds: usize) -> impl Iterator<Item = (usize, usize)> {
    let places = 0..rounds * COUNTS.len();
    places.map(|place| {
        let (round, turn) = (place / COUNTS.len(), place % COUNTS.len());
        (round, (round + turn) % COUNTS.len())
    })
}

async fn end(group: Vec<Contestant>) -> anyhow::Result<()> {
    for contestant in group {
        contestant.process.end().await?;
    }
    Ok(())
}

async fn turns(
    group: &[Contestant],
    arena: &Arena,
    services: Services,
    script: &Arc<Script>,
    time: Duration,
) -> anyhow::Result<Sample> {
    let addresses: Vec<_> = group.iter().map(|contestant| contestant.address).collect();
    let mut clients = Clients::spread(&addresses, script, CLIENTS);
    let mut errors = clients.load(WARM_UP.min(time)).await?.errors;
    let waited = Commits::of(group).await;
    let before = clocks(group, arena, services);
    let begin = Instant::now();
    let load = clients.load(time).await?;
    tokio::time::sleep(BOOKING).await;
    let after = clocks(group, arena, services);
    let cost = Cost::between(&before, &after, load.turns, begin.elapsed());
    let commits = Commits::of(group).await.zip(waited);
    errors.merge(load.errors);
    Ok(Sample {
        per_s: load.per_s,
        run_p50: stats::percentile(&load.run_ms, 0.5),
        run_p99: stats::percentile(&load.run_ms, 0.99),
        cost,
        commits: commits.and_then(|(after, before)| after.since(before).a_turn(load.turns)),
        errors,
    })
}

fn clocks(group: &[Contestant], arena: &Arena, services: Services) -> Clocks {
    let of_replicas = group.iter().map(|contestant| contestant.process.cpu_s());
    Clocks {
        replicas: of_replicas.collect(),
        postgres: services.postgres.and_then(|service| service.cpu_s()),
        nats: services.nats.and_then(|service| service.cpu_s()),
        model: arena.model_cpu_s(),
        clients: process::own_cpu_s(),
        machine: machine::worked_s(),
    }
}

fn report(turns: &Samples<Sample>, streams: &Samples<OpenStreams>) -> Report {
    let title = format!(
        "one, two and three servers on one PostgreSQL and NATS: turns of {CLIENTS} clients spread over them, and open streams of which every third watches a run that another server drives"
    );
    let mut report = Report::new(NAME, title, &COLUMNS);
    report.rows = turn_rows(turns);
    report.rows.extend(stream_rows(streams));
    let mut errors = vec![Cell::text("errors")];
    for ((count, turns), streams) in COUNTS.iter().zip(turns).zip(streams) {
        let mut all = Errors::default();
        let of_turns = turns.iter().map(|sample| &sample.errors);
        for one in of_turns.chain(streams.iter().map(|shown| &shown.errors)) {
            all.merge(one.clone());
        }
        errors.push(Cell::count(all.count()));
        let lines = all.lines().map(|line| format!("{}: {line}", named(*count)));
        report.notes.extend(lines);
    }
    errors.resize_with(COLUMNS.len(), || Cell::None);
    report.rows.push(errors);
    report.notes.insert(0, busy(turns));
    report.notes.insert(1, reach(turns));
    report.notes.insert(2, ELSEWHERE.to_owned());
    report
}

fn turn_rows(turns: &Samples<Sample>) -> Vec<Vec<Cell>> {
    let cost = |what, part: fn(&Cost) -> Option<f64>| {
        let what = format!("CPU a turn, ms: {what}");
        row(what, 3, turns, |sample| part(&sample.cost))
    };
    let maybe = |what, decimals, part: fn(&Sample) -> Option<f64>| row(what, decimals, turns, part);
    vec![
        maybe("turns/s", 0, |sample| Some(sample.per_s)),
        maybe("run p50, ms", 2, |sample| Some(sample.run_p50)),
        maybe("run p99, ms", 2, |sample| Some(sample.run_p99)),
        cost("all replicas", |cost| cost.replicas_ms),
        cost("PostgreSQL", |cost| cost.postgres_ms),
        cost("NATS", |cost| cost.nats_ms),
        cost("model", |cost| cost.model_ms),
        cost("clients", |cost| cost.clients_ms),
        maybe("share of the busiest replica", 2, |sample| {
            sample.cost.busiest_share
        }),
        maybe("cores busy with these", 2, |sample| sample.cost.own_cores),
        maybe("cores busy at all", 2, |sample| sample.cost.cores),
        maybe("commits a turn, thread's apart", 2, |sample| {
            sample.commits.map(|commits| commits.count)
        }),
        maybe("waiting for them a turn, ms", 2, |sample| {
            sample.commits.map(|commits| commits.sum_s * 1_000.0)
        }),
        maybe("turns/s to fill a core: replicas", 0, |sample| {
            cost::per_core(sample.cost.replicas_ms)
        }),
        maybe("turns/s to fill a core: PostgreSQL", 0, |sample| {
            cost::per_core(sample.cost.postgres_ms)
        }),
        maybe("turns/s to fill a core: NATS", 0, |sample| {
            cost::per_core(sample.cost.nats_ms)
        }),
    ]
}

fn stream_rows(streams: &Samples<OpenStreams>) -> Vec<Vec<Cell>> {
    let some =
        |what, decimals, part: fn(&OpenStreams) -> Option<f64>| row(what, decimals, streams, part);
    vec![
        some("streams open at once", 0, |shown| {
            Some(shown.at_once as f64)
        }),
        some("token lag where driven p50, ms", 1, |shown| {
            Some(shown.near_ms[0])
        }),
        some("token lag where driven p99, ms", 1, |shown| {
            Some(shown.near_ms[1])
        }),
        some("token lag elsewhere p50, ms", 1, |shown| {
            Some(shown.far_ms[0])
        }),
        some("token lag elsewhere p99, ms", 1, |shown| {
            Some(shown.far_ms[1])
        }),
        some("peak memory a stream, kB", 1, |shown| shown.stream_kb),
    ]
}

/// How many processors were busy, without which turns/s say nothing.
fn busy(turns: &Samples<Sample>) -> String {
    let cores = turns.each_ref().map(|samples| {
        let cores = table::median(samples, |sample| sample.cost.cores);
        cores.map_or("unknown".to_owned(), |cores| format!("{cores:.2}"))
    });
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{} of {processors} processors were busy with 1, 2 and 3 replicas. Where all are, more replicas cannot make more turns: what carries over to other machines is the processor time of a turn.",
        cores.join(", ")
    );
    let others = turns.iter().filter_map(|samples| {
        table::median(samples, |sample| {
            Some(sample.cost.cores? - sample.cost.own_cores?)
        })
    });
    let others = others.fold(0.0, f64::max);
    if others > OTHERS_MAX {
        text.push_str(&format!(
            " Other work had up to {others:.2} of them, so rates and lags cannot be judged."
        ));
    }
    text
}

/// What follows for servers and databases that have processors of their own.
fn reach(turns: &Samples<Sample>) -> String {
    let [.., most] = turns;
    let replicas = table::median(most, |sample| sample.cost.replicas_ms);
    let postgres = table::median(most, |sample| sample.cost.postgres_ms);
    let cores = replicas
        .zip(postgres)
        .and_then(|(replicas, postgres)| cost::replica_cores(replicas, postgres));
    match cores {
        Some(cores) => format!(
            "With 3 replicas, {cores:.1} cores full of replicas fill one of PostgreSQL. That holds as long as turns wait for nothing but processors; PostgreSQL and NATS are counted with all that they do, so nobody else may use them meanwhile."
        ),
        None => "What PostgreSQL costs could not be told: it must listen at this machine's loopback, and this user must be allowed to look into its process (as its own user or root).".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_begins_a_round_in_turn() {
        let order: Vec<(usize, usize)> = order(3).collect();
        let expected = [
            [(0, 0), (0, 1), (0, 2)],
            [(1, 1), (1, 2), (1, 0)],
            [(2, 2), (2, 0), (2, 1)],
        ];
        assert_eq!(order, expected.concat());
    }

    #[test]
    fn notes_say_how_busy_it_was_and_what_follows() {
        let sample = |cores: Option<f64>, replicas_ms, postgres_ms| Sample {
            cost: Cost {
                cores,
                own_cores: cores.map(|cores| cores - 0.1),
                replicas_ms,
                postgres_ms,
                ..Cost::default()
            },
            ..Sample::default()
        };
        let turns = [
            vec![sample(Some(1.5), Some(1.0), Some(1.0))],
            vec![sample(None, None, None)],
            vec![sample(Some(2.0), Some(0.5), Some(0.2))],
        ];
        assert!(busy(&turns).starts_with("1.50, unknown, 2.00 of "));
        assert!(busy(&turns).ends_with("processor time of a turn."));
        let mut disturbed = turns;
        disturbed[2][0].cost.own_cores = Some(0.5);
        assert!(busy(&disturbed).contains("Other work had up to 1.50 of them"));
        let turns = disturbed;
        assert!(reach(&turns).starts_with("With 3 replicas, 2.5 cores "));
        let unknown = [vec![], vec![], vec![sample(None, Some(0.5), None)]];
        assert!(reach(&unknown).starts_with("What PostgreSQL costs could not be told"));
    }
}
