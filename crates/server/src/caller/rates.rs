//! How often each org may ask: a steady pace with room for a burst. It counts what this process is asked; others have
//! counts of their own.

use domain::OrgId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Orgs remembered at once; those that have been quiet long enough are forgotten first.
const ORGS_MAX: usize = 16_384;

pub struct Rates {
    /// `None` sets no bound.
    pace: Option<Pace>,
    /// When each org will have used up what it was let through with.
    used_up: Mutex<HashMap<OrgId, Instant>>,
}

#[derive(Clone, Copy)]
struct Pace {
    /// From one request to the next.
    interval: Duration,
    /// How far ahead of its pace an org may be.
    ahead: Duration,
}

impl Rates {
    /// `per_second` on average and `burst` at once; 0 a second sets no bound.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let pace = (per_second > 0).then(|| {
            let interval = Duration::from_secs(1) / per_second;
            let ahead = interval * burst.max(1).saturating_sub(1);
            Pace { interval, ahead }
        });
        Self {
            pace,
            used_up: Mutex::default(),
        }
    }

    /// Counts a request of the org, or says how long it must wait before one is let through.
    pub fn admit(&self, org: &OrgId, now: Instant) -> Result<(), Duration> {
        let Some(pace) = self.pace else {
            return Ok(());
        };
        let mut used_up = self.lock();
        let at = used_up.get(org).copied().unwrap_or(now).max(now);
        let ahead = at.duration_since(now);
        if ahead > pace.ahead {
            return Err(ahead - pace.ahead);
        }
        if used_up.len() >= ORGS_MAX && !used_up.contains_key(org) {
            used_up.retain(|_, at| *at > now);
        }
        used_up.insert(org.clone(), at + pace.interval);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrgId, Instant>> {
        self.used_up.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(name: &str) -> OrgId {
        OrgId::new(name).unwrap()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_pace_counts() {
        let rates = Rates::new(10, 3);
        let (acme, now) = (org("acme"), Instant::now());
        let tenth = Duration::from_millis(100);
        for _ in 0..3 {
            assert_eq!(rates.admit(&acme, now), Ok(()));
        }
        assert_eq!(rates.admit(&acme, now), Err(tenth));
        assert_eq!(rates.admit(&org("globex"), now), Ok(()), "orgs apart");
        assert_eq!(rates.admit(&acme, now + tenth / 2), Err(tenth / 2));
        assert_eq!(rates.admit(&acme, now + tenth), Ok(()));
        assert_eq!(rates.admit(&acme, now + tenth), Err(tenth));
        // Rest is not saved up beyond the burst.
        let later = now + 100 * tenth;
        for _ in 0..3 {
            assert_eq!(rates.admit(&acme, later), Ok(()));
        }
        assert_eq!(rates.admit(&acme, later), Err(tenth));
    }

    #[test]
    fn no_pace_is_no_bound() {
        let rates = Rates::new(0, 1);
        let now = Instant::now();
        assert!((0..1000).all(|_| rates.admit(&org("acme"), now).is_ok()));
        assert!(rates.lock().is_empty());
    }
}
