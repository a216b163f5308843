//! Many open streams spread over some servers, a third of them at another server than the one that drives the run: how
//! late words come, and what memory they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arena::{Contestant, Pace};
use crate::load::Errors;
use crate::process::Memory;
use crate::stats;
use crate::turn::{Script, Session, TurnError};

/// All streams are opened in this time and wait as long for their first token, so that all are open before it comes.
const OPENING: Duration = Duration::from_secs(1);
/// Every run is watched where it is driven, and every second elsewhere, too.
const RUN_SHARE: (usize, usize) = (2, 3);
/// How long the servers are left alone before their memory is read.
const SETTLE: Duration = Duration::from_millis(500);
const KB: f64 = 1_000.0;

pub const PACE: Pace = Pace {
    first_byte_ms: 1_500,
    token_delay_ms: 200,
    stamped: true,
};

/// What one group of servers has shown.
#[derive(Debug, Default)]
pub struct OpenStreams {
    /// The most that were open at the same time.
    pub at_once: usize,
    /// From the model's sending a token to reading it, where the run is driven. Median and 99th percentile.
    pub near_ms: [f64; 2],
    /// The same at another server; where there is but one, in a second stream of it.
    pub far_ms: [f64; 2],
    /// The most memory that the servers took beyond what they had before, for each stream.
    pub stream_kb: Option<f64>,
    pub errors: Errors,
}

/// One stream from its opening to its end.
struct Seen {
    begun: Instant,
    ended: Instant,
    lags_ms: Vec<f64>,
    outcome: Result<(), TurnError>,
}

pub async fn measure(
    group: &[Contestant],
    script: &Arc<Script>,
    streams_each: usize,
) -> anyhow::Result<OpenStreams> {
    tokio::time::sleep(SETTLE).await;
    let before = memory(group, |memory| memory.now);
    let (share, of) = RUN_SHARE;
    let runs = streams_each * group.len() * share / of;
    let pause = OPENING / u32::try_from(runs.max(1))?;
    let mut tasks = Vec::with_capacity(runs);
    for (place, wait) in (0..runs).zip(0..) {
        let session = |at: usize| Session::new(group[at % group.len()].address, script.clone());
        let near = session(place);
        // Evenly over the servers, whatever their number.
        let is_watched = (place / group.len()).is_multiple_of(2);
        let far = is_watched.then(|| session(place + 1));
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(pause * wait).await;
            watch(near, far).await
        }));
    }
    let mut shown = OpenStreams::default();
    let (mut near_lags, mut far_lags, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks {
        let (near, far) = task.await?;
        for (seen, lags) in [(Some(near), &mut near_lags), (far, &mut far_lags)] {
            let Some(seen) = seen else { continue };
            spans.push((seen.begun, seen.ended));
            match seen.outcome {
                Ok(()) => lags.extend(seen.lags_ms),
                Err(error) => shown.errors.add(&error),
            }
        }
    }
    let peak = memory(group, |memory| memory.peak);
    shown.stream_kb = peak
        .zip(before)
        .filter(|_| !spans.is_empty())
        .map(|(peak, before)| (peak - before) / spans.len() as f64 / KB);
    shown.at_once = at_once(&spans);
    shown.near_ms = percentiles(near_lags);
    shown.far_ms = percentiles(far_lags);
    Ok(shown)
}

/// A run where it is begun, and where it is watched besides.
async fn watch(mut near: Session, far: Option<Session>) -> (Seen, Option<Seen>) {
    let begun = Instant::now();
    let opened = async {
        let thread = near.create_thread().await?;
        near.run_until(&thread, b"run_created").await
    };
    let mut reading = match opened.await {
        Ok(reading) => reading,
        Err(error) => return (Seen::of(begun, near, Err(error)), None),
    };
    let run_id = reading.run_id().map(str::to_owned);
    let follow = async {
        let mut far = far?;
        let begun = Instant::now();
        let outcome = match run_id {
            Ok(run_id) => far.watch(&run_id).await.map(drop),
            Err(error) => Err(error),
        };
        Some(Seen::of(begun, far, outcome))
    };
    let finish = async {
        let outcome = near.finish(&mut reading).await.map(drop);
        Seen::of(begun, near, outcome)
    };
    tokio::join!(finish, follow)
}

impl Seen {
    fn of(begun: Instant, session: Session, outcome: Result<(), TurnError>) -> Self {
        Self {
            begun,
            ended: Instant::now(),
            lags_ms: session.lags_ms,
            outcome,
        }
    }
}

fn memory(group: &[Contestant], part: fn(Memory) -> f64) -> Option<f64> {
    let each = group.iter().map(|one| one.process.memory().map(part));
    each.sum()
}

fn percentiles(lags: Vec<f64>) -> [f64; 2] {
    let sorted = stats::sorted(lags);
    [0.5, 0.99].map(|p| stats::percentile(&sorted, p))
}

/// The most spans that have a moment in common. One that ends when another begins has none with it.
fn at_once(spans: &[(Instant, Instant)]) -> usize {
    let mut ends: Vec<Instant> = spans.iter().map(|(_, ended)| *ended).collect();
    let mut begins: Vec<Instant> = spans.iter().map(|(begun, _)| *begun).collect();
    ends.sort_unstable();
    begins.sort_unstable();
    let mut over = 0;
    let open = begins.iter().enumerate().map(|(place, begun)| {
        while ends[over] <= *begun {
            over += 1;
        }
        place + 1 - over
    });
    open.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_at_once_are_those_with_a_moment_in_common() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let spans = |spans: &[(u64, u64)]| {
            let spans: Vec<_> = spans.iter().map(|(a, b)| (at(*a), at(*b))).collect();
            at_once(&spans)
        };
        assert_eq!(spans(&[]), 0);
        assert_eq!(spans(&[(0, 5)]), 1);
        assert_eq!(spans(&[(0, 5), (5, 9)]), 1);
        assert_eq!(spans(&[(6, 9), (0, 5), (4, 7), (1, 5)]), 3);
    }
}
