//! What watchers of a run read in this process: the events since the store last had everything, including the deltas of
//! a turn in flight, which are nowhere else. Watchers pull at their own pace; a slow one costs its cursor and nothing more.

mod shelf;

pub(crate) use shelf::{Look, Page, Shelf, Turn};

use crate::remote::Outlet;
use domain::event::{Event, Record};
use domain::seeded::Seeded;
use domain::{OrgId, RunId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::watch;

/// Committed events kept for watchers who are a little behind; older ones are read from the store.
const KEPT_EVENTS: usize = 256;

/// Events that a watcher is given at once.
pub(crate) const PASSED_EVENTS: usize = 256;

/// Events kept of a run that another server drives.
const HEARD_EVENTS: usize = 4_096;

type Key = (OrgId, RunId);

/// The feeds of runs that are driven or watched in this process.
pub(crate) struct Feeds {
    map: Mutex<HashMap<Key, Weak<Feed>>>,
    outlet: Outlet,
}

pub(crate) struct Feed {
    pub key: Key,
    feeds: Weak<Feeds>,
    ring: Mutex<Ring>,
    outlet: Outlet,
    changed: watch::Sender<u64>,
    /// What watchers read from the store.
    pub shelf: Shelf,
}

#[derive(Default)]
struct Ring {
    source: Source,
    /// Where there is a source: the events numbered above this up to the last in `events` are all there.
    floor: Option<u64>,
    events: VecDeque<Arc<Event>>,
    /// The store has every event up to here.
    committed: u64,
    /// What other servers tell of the run is heard here.
    is_listening: bool,
}

/// Where a feed's events come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    #[default]
    Store,
    /// A driver in this process: nothing newer is anywhere else.
    Driver,
    /// A driver at another server, whose words may get lost on the way.
    Elsewhere,
}

/// Whether what another server told continues what was heard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    InOrder,
    /// Something was lost, or numbers jump here.
    Gap,
}

impl Ring {
    fn is_over(&self) -> bool {
        self.events.back().is_some_and(|event| event.body.is_done())
    }

    fn hear(&mut self, events: Vec<Event>) -> Heard {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Heard::InOrder;
        };
        let (first, last) = (first.seq, last.seq);
        let newest = self.events.back().map(|event| event.seq).or(self.floor);
        let events = events.into_iter().map(Arc::new);
        let mut heard = Heard::InOrder;
        match (self.floor, newest) {
            // Told again from further back: what is newer here stays.
            (Some(floor), _) if first <= floor && last >= floor => {
                let newer = self.events.partition_point(|event| event.seq <= last);
                let newer = self.events.split_off(newer);
                self.events = events.collect();
                self.events.extend(newer);
                self.floor = Some(first - 1);
            }
            (Some(_), Some(newest)) if first <= newest + 1 => {
                self.events
                    .extend(events.skip_while(|event| event.seq <= newest));
            }
            // Whoever is behind reads the store.
            (Some(_), _) | (None, _) => {
                if self.floor.is_some() {
                    heard = Heard::Gap;
                }
                self.events = events.collect();
                self.floor = Some(first - 1);
            }
        }
        self.source = Source::Elsewhere;
        while self.events.len() > HEARD_EVENTS {
            let oldest = self.events.pop_front();
            self.floor = oldest.map(|event| event.seq).or(self.floor);
        }
        heard
    }
}

/// What a watcher finds.
pub(crate) enum Found {
    Events(Vec<Arc<Event>>),
    /// Nothing newer than the cursor yet.
    Nothing,
    /// The store has to be read.
    InStore,
}

impl Feeds {
    /// What drivers tell their feeds goes to the outlet too.
    pub fn new(outlet: Outlet) -> Self {
        Self {
            map: Mutex::default(),
            outlet,
        }
    }

    /// The run's feed, made if there is none. It lives as long as anyone holds it.
    pub fn open(self: &Arc<Self>, org: &OrgId, run: RunId) -> Arc<Feed> {
        let key = (org.clone(), run);
        let mut map = self.map.lock().expect("no holder of this lock panics");
        if let Some(feed) = map.get(&key).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed {
            key: key.clone(),
            feeds: Arc::downgrade(self),
            ring: Mutex::new(Ring::default()),
            outlet: self.outlet.clone(),
            changed: watch::Sender::new(0),
            shelf: Shelf::default(),
        });
        map.insert(key, Arc::downgrade(&feed));
        feed
    }

    /// If the run is driven here, other servers are told again what is not in the store yet.
    pub fn tell_again(&self, org: &OrgId, run: RunId) {
        if let Some(feed) = self.get(org, run) {
            feed.tell_again();
        }
    }

    fn get(&self, org: &OrgId, run: RunId) -> Option<Arc<Feed>> {
        let map = self.map.lock().expect("no holder of this lock panics");
        map.get(&(org.clone(), run)).and_then(Weak::upgrade)
    }

    /// Tells watchers, if there are any, that the store has news of the run.
    pub fn hint(&self, org: &OrgId, run: RunId) {
        if let Some(feed) = self.get(org, run) {
            feed.ring();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let Some(feeds) = self.feeds.upgrade() else {
            return;
        };
        let mut map = feeds.map.lock().expect("no holder of this lock panics");
        // Another may have opened a new feed of the run between the last drop and here.
        if map
            .get(&self.key)
            .is_some_and(|feed| feed.strong_count() == 0)
        {
            map.remove(&self.key);
        }
    }
}

impl Feed {
    /// A driver begins: from here on every event passes through this feed. `last` is the last number in the store.
    pub fn attach(&self, last: u64) {
        let mut ring = self.lock();
        ring.events.clear();
        ring.source = Source::Driver;
        ring.floor = Some(last);
        ring.committed = last;
        drop(ring);
        self.ring();
    }

    /// The driver is gone; the store has everything there is. What ended with `done` is kept for those who are watching:
    /// nothing will be added to it, and they need not read again what is here.
    pub fn detach(&self) {
        let mut ring = self.lock();
        if ring.is_over() {
            return;
        }
        ring.source = Source::Store;
        ring.floor = None;
        ring.events.clear();
        drop(ring);
        self.ring();
    }

    /// Events that are not in the store yet: deltas of the turn in flight.
    pub fn tell(&self, events: impl Iterator<Item = Event>) {
        let told = events
            .map(Arc::new)
            .inspect(|event| self.outlet.live(&self.key, event));
        self.lock().events.extend(told);
        self.ring();
    }

    /// Records that are in the store now. Deltas among them were told already.
    pub fn commit(&self, records: Vec<Record>) {
        let mut ring = self.lock();
        for record in records {
            ring.committed = ring.committed.max(record.last_seq());
            if let Record::Event(event) = record {
                let event = Arc::new(event);
                self.outlet.live(&self.key, &event);
                ring.events.push_back(event);
            }
        }
        while ring.events.len() > KEPT_EVENTS
            && ring
                .events
                .front()
                .is_some_and(|event| event.seq <= ring.committed)
        {
            ring.floor = ring
                .events
                .pop_front()
                .map(|event| event.seq)
                .or(ring.floor);
        }
        drop(ring);
        self.ring();
    }

    /// Tells other servers again what is not in the store yet.
    fn tell_again(&self) {
        let ring = self.lock();
        if ring.source != Source::Driver {
            return;
        }
        for event in &ring.events {
            if event.seq > ring.committed {
                self.outlet.live(&self.key, event);
            }
        }
    }

    /// Events that the run's driver at another server tells, numbered without a gap; none is a hint that the store has
    /// news.
    pub fn hear(&self, events: Vec<Event>) -> Heard {
        let mut ring = self.lock();
        let heard = match ring.source {
            Source::Driver => return Heard::InOrder,
            Source::Store | Source::Elsewhere => ring.hear(events),
        };
        drop(ring);
        self.ring();
        heard
    }

    /// False if the feed listens already. Ends with the feed.
    pub fn begin_listening(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_listening, true)
    }

    /// The other servers cannot be heard any more.
    pub fn end_listening(&self) {
        self.lock().is_listening = false;
    }

    pub fn read(&self, after: u64) -> Found {
        let ring = self.lock();
        let Some(floor) = ring.floor else {
            return Found::InStore;
        };
        if after + u64::from(Seeded::FloorOffByOne.is_on()) < floor {
            return Found::InStore;
        }
        let first = ring.events.partition_point(|event| event.seq <= after);
        if first == ring.events.len() {
            return match ring.source {
                Source::Driver if !ring.is_over() => Found::Nothing,
                // The store knows that the run is over; of what another server tells the newest may have been lost.
                Source::Driver | Source::Elsewhere | Source::Store => Found::InStore,
            };
        }
        let passed = ring.events.range(first..).take(PASSED_EVENTS);
        Found::Events(passed.cloned().collect())
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn ring(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests;
