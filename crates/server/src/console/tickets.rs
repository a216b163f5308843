//! Signing in on the machine that the server runs on, without a key being typed: the server prints a link with a ticket,
//! and the page exchanges it once for a key of its own. The ticket stands behind the link's `#`, which no browser sends
//! anywhere, so it reaches no log. It does not know who reads the link: whoever reads the server's own output could
//! make a key in the store as well.

use crate::app::App;
use crate::body;
use crate::caller::Peer;
use crate::first_start::{self, FirstStartError};
use crate::keys::Secret;
use crate::problem::{Code, Problem};
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use domain::Timestamp;
use domain::key::{KeyDigest, Role};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

/// How long a printed link opens the console.
pub const LIFE: Duration = Duration::from_secs(15 * 60);

/// How long the key works that the page is given: a day's work, not a browser left open for a month.
const KEY_LIFE: Duration = Duration::from_secs(12 * 3600);

const KEY_NAME: &str = "console on this machine";

/// Tickets that wait at once; the oldest makes room.
const WAITING_MAX: usize = 16;

/// The tickets that were given out and not yet used.
#[derive(Debug, Default)]
pub struct Tickets {
    waiting: Mutex<VecDeque<Ticket>>,
}

#[derive(Debug)]
struct Ticket {
    digest: KeyDigest,
    expires_at: Timestamp,
}

impl Tickets {
    /// Gives out a ticket. Fails only if the operating system has no randomness to give.
    pub fn issue(&self, now: Timestamp) -> Result<Secret, getrandom::Error> {
        let secret = Secret::generate()?;
        let mut waiting = self.waiting.lock().expect("the lock's holder cannot panic");
        waiting.truncate(WAITING_MAX - 1);
        waiting.push_front(Ticket {
            digest: KeyDigest::of(secret.expose()),
            expires_at: now.plus(LIFE),
        });
        Ok(secret)
    }

    /// True once for a ticket that is not too old.
    fn take(&self, text: &str, now: Timestamp) -> bool {
        let digest = KeyDigest::of(text);
        let mut waiting = self.waiting.lock().expect("the lock's holder cannot panic");
        waiting.retain(|ticket| ticket.expires_at > now);
        let place = waiting.iter().position(|ticket| ticket.digest == digest);
        place.and_then(|place| waiting.remove(place)).is_some()
    }
}

#[derive(Debug, Deserialize)]
pub struct SignIn {
    ticket: String,
}

#[derive(Debug, Serialize)]
pub struct SignedIn {
    key: String,
}

/// Exchanges a ticket for an owner's key that the page keeps for its tab.
pub async fn sign_in(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: body::Json<SignIn>,
) -> Result<Json<SignedIn>, Problem> {
    let refused = || Problem::new(Code::invalid_ticket);
    let is_here = peer.is_some_and(|Extension(Peer(address))| address.is_loopback());
    if !is_here || is_forwarded(&headers) {
        return Err(refused());
    }
    let now = app.clock.now();
    if !app.tickets.take(&body.value.ticket, now) {
        return Err(refused());
    }
    let made = first_start::make_key(
        &*app.store,
        &*app.clock,
        KEY_NAME,
        Role::Owner,
        Some(KEY_LIFE),
    )
    .await;
    match made {
        Ok(secret) => Ok(Json(SignedIn {
            key: secret.expose().to_owned(),
        })),
        Err(FirstStartError::Store(error)) => Err(error.into()),
        Err(error) => Err(Problem::new(Code::internal_error).because(error)),
    }
}

/// A proxy on this machine speaks for others.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name))
        || headers.contains_key(header::FORWARDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_000_000_000);

    #[test]
    fn ticket_is_taken_once_and_in_time() {
        let tickets = Tickets::default();
        let first = tickets.issue(NOON).unwrap();
        let second = tickets.issue(NOON).unwrap();
        assert!(!tickets.take("another", NOON));
        assert!(tickets.take(first.expose(), NOON));
        assert!(!tickets.take(first.expose(), NOON), "it is used up");
        assert!(!tickets.take(second.expose(), NOON.plus(LIFE)), "too late");
    }

    #[test]
    fn oldest_ticket_makes_room() {
        let tickets = Tickets::default();
        let first = tickets.issue(NOON).unwrap();
        let later: Vec<Secret> = (0..WAITING_MAX)
            .map(|_| tickets.issue(NOON).unwrap())
            .collect();
        assert!(!tickets.take(first.expose(), NOON));
        assert!(later.iter().all(|it| tickets.take(it.expose(), NOON)));
    }
}
