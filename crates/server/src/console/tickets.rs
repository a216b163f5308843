//! Signing in on the machine that the server runs on, without a key being typed: the server prints a link with a ticket,
//! and the page exchanges it once for a key of its own. The ticket stands behind the link's `#`, which no browser sends
//! anywhere, so it reaches no log. It does not know who reads the link: whoever reads the server's own output, or has an
//! owner's key, could make a key as well.

use crate::app::App;
use crate::body;
use crate::caller::{Caller, Owns, Peer};
use crate::first_start::{self, FirstStartError, NewKey};
use crate::keys::Secret;
use crate::problem::{Code, Problem};
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use domain::audit::Actor;
use domain::key::{KeyDigest, Role};
use domain::{OrgScope, Timestamp};
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
    /// Whose owner's key it becomes.
    scope: OrgScope,
    issuer: Actor,
    digest: KeyDigest,
    expires_at: Timestamp,
}

impl Tickets {
    /// Gives out a ticket for an owner of the org. Fails only if the operating system has no randomness to give.
    pub fn issue(
        &self,
        scope: &OrgScope,
        issuer: Actor,
        now: Timestamp,
    ) -> Result<Secret, getrandom::Error> {
        let secret = Secret::generate()?;
        let mut waiting = self.waiting.lock().expect("the lock's holder cannot panic");
        waiting.truncate(WAITING_MAX - 1);
        waiting.push_front(Ticket {
            scope: scope.clone(),
            issuer,
            digest: KeyDigest::of(secret.expose()),
            expires_at: now.plus(LIFE),
        });
        Ok(secret)
    }

    /// Once, a ticket that is not too old.
    fn take(&self, text: &str, now: Timestamp) -> Option<Ticket> {
        let digest = KeyDigest::of(text);
        let mut waiting = self.waiting.lock().expect("the lock's holder cannot panic");
        waiting.retain(|ticket| ticket.expires_at > now);
        let place = waiting.iter().position(|ticket| ticket.digest == digest);
        place.and_then(|place| waiting.remove(place))
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

#[derive(Debug, Serialize)]
pub struct NewTicket {
    ticket: String,
    expires_at: String,
}

/// Gives an owner who is on this machine a ticket for their org.
pub async fn create_ticket(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    caller: Caller<Owns>,
) -> Result<Json<NewTicket>, Problem> {
    if !is_here(peer, &headers) {
        let message =
            "A sign-in link works on the server's own machine only; elsewhere, sign in with a key.";
        return Err(Problem::saying(Code::bad_request, message));
    }
    let now = app.clock.now();
    let ticket = app
        .tickets
        .issue(&caller.scope, Actor::Key(caller.principal()), now)
        .map_err(|error| Problem::new(Code::internal_error).because(error))?;
    Ok(Json(NewTicket {
        ticket: ticket.expose().to_owned(),
        expires_at: now.plus(LIFE).to_string(),
    }))
}

/// Exchanges a ticket for an owner's key that the page keeps for its tab.
pub async fn sign_in(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: body::Json<SignIn>,
) -> Result<Json<SignedIn>, Problem> {
    let refused = || Problem::new(Code::invalid_ticket);
    if !is_here(peer, &headers) {
        return Err(refused());
    }
    let taken = app.tickets.take(&body.value.ticket, app.clock.now());
    let ticket = taken.ok_or_else(refused)?;
    let key = NewKey {
        scope: &ticket.scope,
        name: KEY_NAME,
        role: Role::Owner,
        life: Some(KEY_LIFE),
        actor: ticket.issuer,
    };
    match first_start::make_key(&*app.store, &*app.clock, key).await {
        Ok(secret) => Ok(Json(SignedIn {
            key: secret.expose().to_owned(),
        })),
        Err(FirstStartError::Store(error)) => Err(error.into()),
        Err(error) => Err(Problem::new(Code::internal_error).because(error)),
    }
}

fn is_here(peer: Option<Extension<Peer>>, headers: &HeaderMap) -> bool {
    peer.is_some_and(|Extension(Peer(address))| address.is_loopback()) && !is_forwarded(headers)
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
    use domain::OrgId;

    const NOON: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn issue(tickets: &Tickets) -> Secret {
        let scope = OrgScope::new(OrgId::new("acme").unwrap());
        tickets.issue(&scope, Actor::Operator, NOON).unwrap()
    }

    #[test]
    fn ticket_is_taken_once_and_in_time() {
        let tickets = Tickets::default();
        let first = issue(&tickets);
        let second = issue(&tickets);
        assert!(tickets.take("another", NOON).is_none());
        let taken = tickets.take(first.expose(), NOON).unwrap();
        assert_eq!(taken.scope.org().as_str(), "acme");
        let again = tickets.take(first.expose(), NOON);
        assert!(again.is_none(), "it is used up");
        let late = tickets.take(second.expose(), NOON.plus(LIFE));
        assert!(late.is_none(), "too late");
    }

    #[test]
    fn oldest_ticket_makes_room() {
        let tickets = Tickets::default();
        let first = issue(&tickets);
        let later: Vec<Secret> = (0..WAITING_MAX).map(|_| issue(&tickets)).collect();
        assert!(tickets.take(first.expose(), NOON).is_none());
        let mut later = later.iter();
        assert!(later.all(|it| tickets.take(it.expose(), NOON).is_some()));
    }
}
