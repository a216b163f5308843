//! Closed-loop load: so many clients, each beginning its next turn when the last has ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stats;
use crate::turn::{Script, Session, Taken, TurnError};

/// Failed turns by what went wrong, each kind with how often it came and the first of them.
#[derive(Debug, Clone, Default)]
pub struct Errors(BTreeMap<&'static str, (u64, String)>);

impl Errors {
    pub fn add(&mut self, error: &TurnError) {
        let entry = self.0.entry(error.kind());
        entry.or_insert_with(|| (0, chain(error))).0 += 1;
    }

    pub fn count(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    pub fn merge(&mut self, other: Self) {
        for (kind, (count, first)) in other.0 {
            self.0.entry(kind).or_insert((0, first)).0 += count;
        }
    }

    /// A line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0
            .values()
            .map(|(count, first)| format!("{count} failed turns, the first: {first}"))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Something that is done again and again, each time as soon as the last is done.
pub trait Work: Send + 'static {
    /// Does it once and tells how long it took.
    fn once(&mut self) -> impl Future<Output = Result<Duration, TurnError>> + Send;
}

/// What came of some workers' work.
#[derive(Debug, Default)]
pub struct Times {
    /// Sorted.
    pub ms: Vec<f64>,
    pub per_s: f64,
    pub errors: Errors,
}

/// Lets the workers work until the time is over. The first of them begins at once and the last after `spread`, so that
/// what has a pace of its own does not go in step.
pub async fn repeat<W: Work>(
    workers: &mut Vec<W>,
    time: Duration,
    spread: Duration,
) -> anyhow::Result<Times> {
    let begin = Instant::now();
    let end = begin + time;
    let count = u32::try_from(workers.len().max(1)).unwrap_or(u32::MAX);
    let mut tasks = Vec::new();
    for (place, mut worker) in (0..).zip(workers.drain(..)) {
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(spread / count * place).await;
            let (mut taken, mut errors) = (Vec::new(), Errors::default());
            while Instant::now() < end {
                match worker.once().await {
                    Ok(time) => taken.push(stats::ms(time)),
                    Err(error) => {
                        errors.add(&error);
                        // A server that refuses at once must not turn the driver into a busy loop.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            (worker, taken, errors)
        }));
    }
    let mut times = Times::default();
    for task in tasks {
        let (worker, taken, errors) = task.await?;
        workers.push(worker);
        times.ms.extend(taken);
        times.errors.merge(errors);
    }
    times.per_s = times.ms.len() as f64 / begin.elapsed().as_secs_f64();
    times.ms = stats::sorted(times.ms);
    Ok(times)
}

/// What a load gave.
#[derive(Debug, Default)]
pub struct Load {
    pub turns: u64,
    pub per_s: f64,
    /// Sorted.
    pub first_event_ms: Vec<f64>,
    /// Of the run alone, without the thread's creation. Sorted.
    pub run_ms: Vec<f64>,
    pub errors: Errors,
}

/// Clients that keep their connections from one load to the next.
pub struct Clients(Vec<Session>);

impl Clients {
    pub fn new(address: SocketAddr, script: &Arc<Script>, count: usize) -> Self {
        Self::spread(&[address], script, count)
    }

    /// Each takes the next of the addresses, which begin anew after the last.
    pub fn spread(addresses: &[SocketAddr], script: &Arc<Script>, count: usize) -> Self {
        let addresses = addresses.iter().cycle().take(count);
        Self(
            addresses
                .map(|address| Session::new(*address, script.clone()))
                .collect(),
        )
    }

    /// Turns until the time is over; those under way then are finished and count.
    pub async fn load(&mut self, time: Duration) -> anyhow::Result<Load> {
        let begin = Instant::now();
        let end = begin + time;
        let mut tasks = Vec::new();
        for mut session in self.0.drain(..) {
            tasks.push(tokio::spawn(async move {
                let (mut taken, mut errors) = (Vec::new(), Errors::default());
                while Instant::now() < end {
                    match session.turn().await {
                        Ok(turn) => taken.push(turn),
                        Err(error) => {
                            errors.add(&error);
                            // A server that refuses at once must not turn the driver into a busy loop.
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
                (session, taken, errors)
            }));
        }
        let (mut all, mut errors): (Vec<Taken>, _) = (Vec::new(), Errors::default());
        for task in tasks {
            let (session, taken, failed) = task.await?;
            self.0.push(session);
            all.extend(taken);
            errors.merge(failed);
        }
        let elapsed = begin.elapsed().as_secs_f64();
        let each = |part: fn(&Taken) -> Duration| {
            stats::sorted(all.iter().map(|taken| stats::ms(part(taken))).collect())
        };
        Ok(Load {
            turns: all.len() as u64,
            per_s: all.len() as f64 / elapsed,
            first_event_ms: each(|taken| taken.first_event),
            run_ms: each(|taken| taken.run),
            errors,
        })
    }
}
