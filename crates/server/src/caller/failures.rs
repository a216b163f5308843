//! Failed logins by address, so that guessing costs the guesser more than the store.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Addresses remembered at once.
const ADDRESSES_MAX: usize = 16_384;

/// A bucket for each address that runs full with failures and leaks them at a steady pace.
pub struct Failures {
    max: u32,
    forget: Duration,
    seen: Mutex<HashMap<IpAddr, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    count: f64,
    at: Instant,
}

impl Failures {
    pub fn new(max: u32, forget: Duration) -> Self {
        Self {
            max,
            forget,
            seen: Mutex::new(HashMap::new()),
        }
    }

    /// How long this address must wait before it may try a key that nobody here knows.
    pub fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let seen = self.lock();
        let left = self.left(*seen.get(&network(peer))?, now);
        let over = left - f64::from(self.max) + 1.0;
        (over > 0.0).then(|| self.forget.mul_f64(over))
    }

    pub fn note(&self, peer: IpAddr, now: Instant) {
        let mut seen = self.lock();
        if seen.len() >= ADDRESSES_MAX {
            seen.retain(|_, seen| self.left(*seen, now) > 0.0);
        }
        if seen.len() >= ADDRESSES_MAX {
            // So many at once is no guesser but a flood; keeping the worst of them is enough.
            seen.retain(|_, seen| self.left(*seen, now) > 2.0);
        }
        let entry = seen.entry(network(peer)).or_insert(Seen {
            count: 0.0,
            at: now,
        });
        *entry = Seen {
            count: self.left(*entry, now) + 1.0,
            at: now,
        };
    }

    fn left(&self, seen: Seen, now: Instant) -> f64 {
        let leaked = now.duration_since(seen.at).as_secs_f64() / self.forget.as_secs_f64();
        (seen.count - leaked).max(0.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Seen>> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

/// One customer has a whole /64 of addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_fill_up_and_are_forgotten() {
        let failures = Failures::new(3, Duration::from_secs(10));
        let now = Instant::now();
        let (one, other): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(failures.wait(one, now), None);
            failures.note(one, now);
        }
        let neighbour = "2001:db8::ffff".parse().unwrap();
        assert_eq!(failures.wait(neighbour, now), Some(Duration::from_secs(10)));
        assert_eq!(failures.wait(other, now), None);
        assert_eq!(failures.wait(one, now + Duration::from_secs(10)), None);
    }
}
