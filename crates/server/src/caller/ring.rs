//! Keys that were seen of late. What it holds is never older than `key_ttl`, so a key revoked by another process works
//! no longer than that; one revoked here stops at once.

use super::failures::Failures;
use crate::app::HttpSettings;
use domain::key::{Key, KeyDigest};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreError};
use domain::seeded::Seeded;
use domain::{KeyId, OrgId, Timestamp};
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Keys held at once; past it, those not seen of late go first.
const KEYS_MAX: usize = 65_536;

/// How long a key that was good once may be asked about past the limit on failures: its holder's neighbours may be
/// guessing behind the same address.
const KNOWN_FOR: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such key, or one that has expired or was revoked.
    #[error("no live key has this secret")]
    Unknown,
    #[error("too many failures from this address")]
    TooManyFailures { wait: Duration },
    #[error("keys cannot be looked up")]
    Store(#[source] StoreError),
}

pub struct KeyRing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    failures: Failures,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the whole digest: a prefix could be another org's key.
    held: HashMap<KeyDigest, Held>,
    used: HashMap<KeyDigest, (Arc<Key>, Timestamp)>,
    watched: HashMap<KeyDigest, Weak<Watch>>,
    /// Raised by every revocation here, so that a look that began before one is not believed after it.
    generation: u64,
}

struct Held {
    key: Arc<Key>,
    at: Instant,
}

/// Cancelled when the key is no longer live.
struct Watch {
    ended: CancellationToken,
}

/// Resolves once the key that it was made for is no longer live; as long as it is held, the key is looked up now and
/// again.
pub struct Revocation {
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _watch: Arc<Watch>,
}

impl Future for Revocation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ended.as_mut().poll(cx)
    }
}

impl KeyRing {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, settings: &HttpSettings) -> Self {
        Self {
            store,
            clock,
            ttl: settings.key_ttl,
            failures: Failures::new(
                settings.failed_logins_max,
                settings.failed_login_forgotten_after,
            ),
            state: Mutex::new(State::default()),
        }
    }

    /// The live key with this secret.
    pub async fn find(&self, secret: &str, peer: Option<IpAddr>) -> Result<Arc<Key>, Refusal> {
        let digest = KeyDigest::of(secret);
        let (held, known, generation) = self.held(&digest);
        if let Some(key) = held {
            return self.admit(key, peer);
        }
        if let Some(wait) = peer
            .filter(|_| !known)
            .and_then(|peer| self.failures.wait(peer, Instant::now()))
        {
            return Err(Refusal::TooManyFailures { wait });
        }
        let found = self.store.system_find_key(&digest).await;
        let found = found.map_err(Refusal::Store)?;
        let matching = |key: &Key| bool::from(key.digest.0.ct_eq(&digest.0));
        let Some(key) = found.filter(matching).map(Arc::new) else {
            self.lock().held.remove(&digest);
            return self.refuse(peer);
        };
        self.hold(&key, generation);
        self.admit(key, peer)
    }

    fn admit(&self, key: Arc<Key>, peer: Option<IpAddr>) -> Result<Arc<Key>, Refusal> {
        let now = self.clock.now();
        if !key.is_live(now) {
            return self.refuse(peer);
        }
        self.lock().used.insert(key.digest, (key.clone(), now));
        Ok(key)
    }

    fn refuse(&self, peer: Option<IpAddr>) -> Result<Arc<Key>, Refusal> {
        if let Some(peer) = peer {
            self.failures.note(peer, Instant::now());
        }
        Err(Refusal::Unknown)
    }

    /// The key if it was looked up lately, and whether it was good at all in the last minutes.
    fn held(&self, digest: &KeyDigest) -> (Option<Arc<Key>>, bool, u64) {
        let state = self.lock();
        let held = state.held.get(digest);
        let fresh = held.filter(|held| held.at.elapsed() < self.ttl);
        let known = held.is_some_and(|held| held.at.elapsed() < KNOWN_FOR);
        (fresh.map(|held| held.key.clone()), known, state.generation)
    }

    fn hold(&self, key: &Arc<Key>, generation: u64) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        if state.held.len() >= KEYS_MAX {
            state.held.retain(|_, held| held.at.elapsed() < self.ttl);
        }
        if state.held.len() < KEYS_MAX {
            let (key, at) = (key.clone(), Instant::now());
            state.held.insert(key.digest, Held { key, at });
        }
    }

    /// Forgets a key that was revoked here and ends its streams.
    pub fn revoked(&self, org: &OrgId, id: KeyId) {
        let mut state = self.lock();
        state.generation += 1;
        let digests: Vec<KeyDigest> = state
            .held
            .values()
            .filter(|held| held.key.id == id && held.key.org == *org)
            .filter(|_| !Seeded::RevokedKeyKept.is_on())
            .map(|held| held.key.digest)
            .collect();
        for digest in digests {
            state.held.remove(&digest);
            if let Some(watch) = state.watched.remove(&digest).and_then(|it| it.upgrade()) {
                watch.ended.cancel();
            }
        }
    }

    /// Resolves once the key is no longer live.
    pub fn watch(&self, key: &Key) -> Revocation {
        let mut state = self.lock();
        let watch = state.watched.get(&key.digest).and_then(Weak::upgrade);
        let watch = watch.unwrap_or_else(|| {
            let watch = Arc::new(Watch {
                ended: CancellationToken::new(),
            });
            state.watched.insert(key.digest, Arc::downgrade(&watch));
            watch
        });
        Revocation {
            ended: Box::pin(watch.ended.clone().cancelled_owned()),
            _watch: watch,
        }
    }

    /// Streams that are being read.
    pub fn streams(&self) -> usize {
        let state = self.lock();
        state.watched.values().map(Weak::strong_count).sum()
    }

    /// Looks up every key that has an open stream, and writes when keys were last used.
    pub async fn look_again(&self) {
        let watched: Vec<KeyDigest> = {
            let mut state = self.lock();
            state.watched.retain(|_, watch| watch.strong_count() > 0);
            state.watched.keys().copied().collect()
        };
        for digest in watched {
            match self.store.system_find_key(&digest).await {
                Ok(Some(key)) if key.is_live(self.clock.now()) => {}
                Ok(Some(_) | None) => {
                    let mut state = self.lock();
                    state.held.remove(&digest);
                    if let Some(watch) = state.watched.remove(&digest).and_then(|it| it.upgrade()) {
                        watch.ended.cancel();
                    }
                }
                // Streams stay open while the store is away: it is not the key that failed.
                Err(_) => break,
            }
        }
        self.write_last_uses().await;
    }

    /// Writes when keys were last used. What cannot be written now is tried again with the next.
    pub async fn write_last_uses(&self) {
        let used = std::mem::take(&mut self.lock().used);
        if used.is_empty() {
            return;
        }
        let rows: Vec<(OrgId, KeyId, Timestamp)> = used
            .values()
            .map(|(key, at)| (key.org.clone(), key.id, *at))
            .collect();
        if self.store.system_touch_keys(&rows).await.is_err() {
            let mut state = self.lock();
            for (digest, use_) in used {
                state.used.entry(digest).or_insert(use_);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}
