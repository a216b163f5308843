//! What follows from an attempt: done, again later, or given up. It sends nothing.

use super::send::Sent;
use domain::Timestamp;
use domain::webhook::Settled;
use std::time::Duration;
use uuid::Uuid;

/// Seconds before each further attempt, about three days in all; after the last the message is given up.
const PAUSES: [u64; 10] = [
    5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
];
/// What a receiver may ask for.
const ASKED_MAX: Duration = Duration::from_secs(86_400);

/// `attempts` counts the one that ended. The random number spreads retries of many messages by a fifth.
pub fn settle(sent: Sent, attempts: u32, now: Timestamp, random: Uuid) -> Settled {
    match sent {
        Sent::Accepted => Settled::Delivered { at: now },
        Sent::Gone { error } => Settled::Dead { error },
        Sent::Failed { error, wait } => {
            let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
            let Some(pause) = PAUSES.get(index) else {
                return Settled::Dead { error };
            };
            let spread = u64::from(random.as_bytes()[15]) * pause * 1000 / 5 / 255;
            let pause = Duration::from_secs(*pause) + Duration::from_millis(spread);
            let asked = wait.unwrap_or_default().min(ASKED_MAX);
            Settled::Retry {
                at: now.plus(pause.max(asked)),
                error,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(wait: Option<Duration>) -> Sent {
        Sent::Failed {
            error: "status 500".to_owned(),
            wait,
        }
    }

    fn wait_of(settled: &Settled) -> Duration {
        match settled {
            Settled::Retry { at, .. } => at.since(Timestamp::from_micros(0)),
            other => panic!("not again: {other:?}"),
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let now = Timestamp::from_micros(0);
        let mut before = Duration::ZERO;
        for attempts in 1..=10 {
            let least = wait_of(&settle(failed(None), attempts, now, Uuid::nil()));
            let most = wait_of(&settle(failed(None), attempts, now, Uuid::max()));
            assert!(before <= least && least < most && most <= least * 6 / 5);
            before = most;
        }
        let given_up = settle(failed(None), 11, now, Uuid::nil());
        assert!(matches!(given_up, Settled::Dead { .. }));
        let asked = settle(failed(Some(Duration::from_secs(600))), 1, now, Uuid::nil());
        assert_eq!(wait_of(&asked), Duration::from_secs(600));
    }
}
