//! What this process tells the other servers on its store, and what it hears from them. Nothing waits for it, and all of
//! it may be lost: whoever was not told finds it in the store a little later.

use crate::Engine;
use crate::feed::{Feed, Heard};
use domain::event::Event;
use domain::ports::bus::{Bus, Notice};
use domain::{OrgId, OrgScope, RunId};
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// Things that wait to be told; more are dropped.
const WAITING_MAX: usize = 16_384;
/// Things told at once.
const BATCH_MAX: usize = 1_024;
/// The least time between two batches: words that come one by one share a message.
const PAUSE: Duration = Duration::from_millis(20);
/// While NATS is there, watchers look into the store this many times less often.
const POLLS_SPARED: u32 = 20;

type Key = (OrgId, RunId);

enum Told {
    Live(Key, Arc<Event>),
    /// The store has news of the run.
    News(Key),
    Notice(Notice),
}

/// Where things to be told are put; clones are the same one. Without other servers it holds nothing.
#[derive(Clone, Default)]
pub(crate) struct Outlet {
    queue: Option<mpsc::Sender<Told>>,
}

impl Outlet {
    pub fn live(&self, key: &Key, event: &Arc<Event>) {
        self.put(|| Told::Live(key.clone(), event.clone()));
    }

    pub fn news(&self, org: &OrgId, run: RunId) {
        self.put(|| Told::News((org.clone(), run)));
        self.put(|| {
            let org = org.clone();
            Told::Notice(Notice::Changed { org, run })
        });
    }

    pub fn notice(&self, notice: impl FnOnce() -> Notice) {
        self.put(|| Told::Notice(notice()));
    }

    fn put(&self, told: impl FnOnce() -> Told) {
        if let Some(queue) = &self.queue {
            // A full queue means that the others are told late or by the store alone.
            let _ = queue.try_send(told());
        }
    }
}

/// The connection to other servers, if there are any.
pub(crate) struct Remote {
    bus: Option<Arc<dyn Bus>>,
    pub outlet: Outlet,
}

impl Remote {
    /// The second is what `speak` works off.
    pub fn new(bus: Option<Arc<dyn Bus>>) -> (Self, Option<Speaker>) {
        let Some(bus) = bus else {
            let outlet = Outlet::default();
            return (Self { bus: None, outlet }, None);
        };
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        let outlet = Outlet {
            queue: Some(sender),
        };
        let speaker = Speaker {
            bus: bus.clone(),
            queue,
        };
        (
            Self {
                bus: Some(bus),
                outlet,
            },
            Some(speaker),
        )
    }

    /// How long a watcher of another server's run waits before it looks into the store unasked.
    pub fn poll(&self, poll: Option<Duration>) -> Option<Duration> {
        match &self.bus {
            Some(bus) if bus.is_connected() => poll.map(|poll| poll * POLLS_SPARED),
            Some(_) | None => poll,
        }
    }
}

/// Tells the others what was put into the outlet, in order within a run.
pub(crate) struct Speaker {
    bus: Arc<dyn Bus>,
    queue: mpsc::Receiver<Told>,
}

impl Speaker {
    /// Until `engine` is gone or stops.
    pub async fn speak(mut self, engine: Arc<Engine>) {
        let stopping = engine.stopping.clone();
        drop(engine);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
                () = stopping.cancelled() => return self.say_rest().await,
            }
            self.say(std::mem::take(&mut batch)).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the end of the process has left to tell.
    async fn say_rest(&mut self) {
        let mut rest = Vec::new();
        while let Ok(told) = self.queue.try_recv() {
            rest.push(told);
        }
        self.say(rest).await;
    }

    async fn say(&self, batch: Vec<Told>) {
        // Few runs at a time have words in 20 ms: a list is quicker than a map, and keeps their order.
        let mut live: Vec<(Key, Vec<Arc<Event>>)> = Vec::new();
        let mut notices = HashSet::new();
        for told in batch {
            let (key, event) = match told {
                Told::Live(key, event) => (key, Some(event)),
                Told::News(key) => (key, None),
                Told::Notice(notice) => {
                    notices.insert(notice);
                    continue;
                }
            };
            // What is told again from further back is a message of its own.
            let goes_on = |events: &[Arc<Event>]| match (events.last(), &event) {
                (Some(last), Some(event)) => event.seq > last.seq,
                (None, _) | (_, None) => true,
            };
            match live.iter_mut().rfind(|(other, _)| *other == key) {
                Some((_, events)) if goes_on(events) => events.extend(event),
                Some(_) | None => live.push((key, event.into_iter().collect())),
            }
        }
        for ((org, run), events) in live {
            self.bus.tell_live(&OrgScope::new(org), run, &events).await;
        }
        for notice in notices {
            self.bus.tell(notice).await;
        }
    }
}

impl Engine {
    /// Tells the others of the runs that this process let go of. The last thing that it tells.
    pub(crate) async fn hand_over(&self) {
        if let Some(bus) = &self.remote.bus {
            bus.tell(Notice::Work).await;
            bus.flush().await;
        }
    }

    /// Does what other servers' notices ask for, until the process stops.
    pub(crate) async fn hear_notices(self: Arc<Self>) {
        let Some(bus) = self.remote.bus.clone() else {
            return;
        };
        let mut notices = bus.notices().await;
        loop {
            let notice = tokio::select! {
                notice = notices.next() => notice,
                () = self.stopping.cancelled() => return,
            };
            match notice {
                Some(Notice::Work) => self.work.notify_one(),
                Some(Notice::Inbox { .. }) => self.inbox.notify_waiters(),
                Some(Notice::Tell { org, run }) => self.feeds.tell_again(&org, run),
                Some(Notice::Changed { org, run }) => {
                    self.drivers.nudge(&org, run);
                }
                None => return,
            }
        }
    }

    /// Fills the feed of a run that another server drives from what that server tells, as long as somebody watches it.
    pub(crate) fn listen(self: &Arc<Self>, scope: &OrgScope, run: RunId, feed: &Arc<Feed>) {
        let Some(bus) = self.remote.bus.clone() else {
            return;
        };
        if !feed.begin_listening() {
            return;
        }
        let (scope, feed) = (scope.clone(), Arc::downgrade(feed));
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = hear_live(&*bus, &scope, run, feed) => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

async fn hear_live(bus: &dyn Bus, scope: &OrgScope, run: RunId, feed: Weak<Feed>) {
    let mut live = bus.live(scope, run).await;
    let ask = || Notice::Tell {
        org: scope.org().clone(),
        run,
    };
    bus.tell(ask()).await;
    let Some(mut changed) = feed.upgrade().map(|feed| feed.watch()) else {
        return;
    };
    // What was committed before the subscription is in the store; its words in flight are told again.
    if let Some(feed) = feed.upgrade() {
        feed.hear(Vec::new());
    }
    loop {
        let events = tokio::select! {
            events = live.next() => events,
            gone = changed.changed() => match gone {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match (events, feed.upgrade()) {
            (Some(events), Some(feed)) => {
                if feed.hear(events) == Heard::Gap {
                    bus.tell(ask()).await;
                }
            }
            (None, Some(feed)) => return feed.end_listening(),
            (_, None) => return,
        }
    }
}
