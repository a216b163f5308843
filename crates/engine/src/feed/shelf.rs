//! What watchers read from the store, held once for all who stand within it: the deltas of a turn are one record, which may
//! be megabytes long, and a watcher that stops reading must not hold it for itself.

use domain::event::Event;
use std::sync::{Arc, Mutex, Weak};

/// Events that follow each other in the log, none missing between the first and the last.
pub(crate) type Page = Arc<[Arc<Event>]>;

/// The page that was read last, for as long as anybody reads it.
#[derive(Default)]
pub(crate) struct Shelf {
    last: Mutex<Option<Weak<[Arc<Event>]>>>,
}

impl Shelf {
    /// A page with news for a watcher at `after`.
    pub fn find(&self, after: u64) -> Option<Page> {
        let last = self.last.lock().expect("no holder of this lock panics");
        let page = last.as_ref().and_then(Weak::upgrade)?;
        serves(&page, after).then_some(page)
    }

    /// Puts what a watcher at `after` read. If another was quicker, it is theirs that both hold.
    pub fn put(&self, after: u64, events: Vec<Arc<Event>>) -> Page {
        let mut last = self.last.lock().expect("no holder of this lock panics");
        if let Some(page) = last.as_ref().and_then(Weak::upgrade)
            && serves(&page, after)
        {
            return page;
        }
        let page = Page::from(events);
        *last = Some(Arc::downgrade(&page));
        page
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

    #[test]
    fn page_is_held_once_for_all_who_stand_within_it() {
        let shelf = Shelf::default();
        assert!(shelf.find(0).is_none());
        // Numbers may jump.
        let page = shelf.put(4, events([5, 6, 9]));
        for after in [4, 5, 7, 8] {
            let found = shelf.find(after).expect("it is within");
            assert!(Arc::ptr_eq(&found, &page), "{after}");
        }
        for after in [0, 3, 9, 10] {
            assert!(shelf.find(after).is_none(), "{after}");
        }
        // Two who read the same hold one.
        assert!(Arc::ptr_eq(&shelf.put(4, events([5, 6, 9])), &page));
        let later = shelf.put(9, events([10]));
        assert!(!Arc::ptr_eq(&later, &page));
    }

    #[test]
    fn page_goes_with_its_last_reader() {
        let shelf = Shelf::default();
        drop(shelf.put(0, events([1, 2])));
        assert!(shelf.find(0).is_none());
    }
}
