//! What watchers read from the store, held once for all who stand within it: the deltas of a turn are one record, which may
//! be megabytes long, and a watcher that stops reading must not hold it for itself.

use domain::event::Event;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::watch;

/// Events that follow each other in the log, none missing between the first and the last.
pub(crate) type Page = Arc<[Arc<Event>]>;

/// The page that was read last, for as long as anybody reads it. One watcher reads at a time, so that many who come at once
/// do not each read the same megabytes.
#[derive(Default)]
pub(crate) struct Shelf {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Weak<[Arc<Event>]>>,
    /// Changed by nobody and closed when the reader is through, whatever became of it.
    reading: Option<watch::Receiver<()>>,
}

/// What a watcher finds.
pub(crate) enum Look {
    /// With news for it.
    Page(Page),
    /// Another reads; worth a second look when this is closed.
    Busy(watch::Receiver<()>),
    /// It has to read itself.
    Read(Turn),
}

/// One's turn at reading, which others wait for: whoever has it goes on without waiting for its own client.
pub(crate) struct Turn(#[expect(dead_code, reason = "those who wait see it go")] watch::Sender<()>);

impl Shelf {
    /// What there is for a watcher at `after`.
    pub fn look(&self, after: u64) -> Look {
        let mut state = self.lock();
        if let Some(page) = state.last.as_ref().and_then(Weak::upgrade)
            && serves(&page, after)
        {
            return Look::Page(page);
        }
        match &state.reading {
            Some(reading) if reading.has_changed().is_ok() => Look::Busy(reading.clone()),
            _ => {
                let (turn, reading) = watch::channel(());
                state.reading = Some(reading);
                Look::Read(Turn(turn))
            }
        }
    }

    /// Lays out what was read for a watcher at `after`; `None` if that is nothing new. Those who wait look when the turn is
    /// dropped, after this.
    pub fn put(&self, after: u64, events: Vec<Arc<Event>>) -> Option<Page> {
        let page = Page::from(events);
        if page.last().is_none_or(|last| last.seq <= after) {
            return None;
        }
        self.lock().last = Some(Arc::downgrade(&page));
        Some(page)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// The log never changes between two events that are in it, so a page that reaches back to `after` has all that follows.
fn serves(page: &[Arc<Event>], after: u64) -> bool {
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return false;
    };
    first.seq <= after.saturating_add(1) && after < last.seq
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use domain::event::EventBody;
    use domain::run::RunStatus;

    fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Event>> {
        let event = |seq| Event {
            seq,
            at: Timestamp::from_micros(0),
            body: EventBody::RunStatus {
                status: RunStatus::Running,
            },
        };
        numbers.into_iter().map(event).map(Arc::new).collect()
    }

    fn find(shelf: &Shelf, after: u64) -> Option<Page> {
        match shelf.look(after) {
            Look::Page(page) => Some(page),
            Look::Busy(_) | Look::Read(_) => None,
        }
    }

    #[test]
    fn page_is_held_once_for_all_who_stand_within_it() {
        let shelf = Shelf::default();
        assert!(shelf.put(4, events([])).is_none());
        assert!(shelf.put(4, events([3, 4])).is_none());
        assert!(find(&shelf, 3).is_none());
        // Numbers may jump.
        let page = shelf.put(4, events([5, 6, 9])).expect("it has news");
        for after in [4, 5, 7, 8] {
            let found = find(&shelf, after).expect("it is within");
            assert!(Arc::ptr_eq(&found, &page), "{after}");
        }
        for after in [0, 3, 9, 10] {
            assert!(find(&shelf, after).is_none(), "{after}");
        }
        let later = shelf.put(9, events([10])).expect("it has news");
        assert!(!Arc::ptr_eq(&later, &page));
    }

    #[test]
    fn page_goes_with_its_last_reader() {
        let shelf = Shelf::default();
        drop(shelf.put(0, events([1, 2])).expect("it has news"));
        assert!(find(&shelf, 0).is_none());
    }

    #[tokio::test]
    async fn many_who_come_at_once_read_once() {
        let shelf = Shelf::default();
        let Look::Read(turn) = shelf.look(0) else {
            panic!("the first has to read")
        };
        let Look::Busy(mut turns_end) = shelf.look(0) else {
            panic!("one reads already")
        };
        let page = shelf.put(0, events([1, 2]));
        assert!(page.is_some());
        drop(turn);
        assert!(turns_end.changed().await.is_err(), "the turn is over");
        assert!(find(&shelf, 0).is_some());
    }

    #[tokio::test]
    async fn reader_that_is_dropped_leaves_its_turn_to_another() {
        let shelf = Shelf::default();
        drop(shelf.look(0));
        assert!(matches!(shelf.look(0), Look::Read(_)));
    }
}
