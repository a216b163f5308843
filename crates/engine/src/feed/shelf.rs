//! What watchers read from the store, held once for all who stand within it: the deltas of a turn are one record, which may
//! be megabytes long, and a watcher that stops reading must not hold it for itself.

use domain::event::Event;
use std::sync::{Arc, Weak};

/// Events that follow each other in the log, none missing between the first and the last.
pub(crate) type Page = Arc<[Arc<Event>]>;

/// The page that was read last, for as long as anybody reads it.
#[derive(Default)]
pub(crate) struct Shelf {
    last: std::sync::Mutex<Option<Weak<[Arc<Event>]>>>,
    reading: tokio::sync::Mutex<()>,
}

impl Shelf {
    /// A page with news for a watcher at `after`: the one that is here, or what `read` finds from `after` on; `None` if that
    /// is nothing new. One reads at a time, so that many who come at once do not each read the same megabytes: whoever
    /// begins has to go on.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub async fn page<E>(
        &self,
        after: u64,
        read: impl Future<Output = Result<Vec<Arc<Event>>, E>>,
    ) -> Result<Option<Page>, E> {
        if let Some(page) = self.find(after) {
            return Ok(Some(page));
        }
        let _reading = self.reading.lock().await;
        if let Some(page) = self.find(after) {
            return Ok(Some(page));
        }
        let page = Page::from(read.await?);
        if page.last().is_none_or(|last| last.seq <= after) {
            return Ok(None);
        }
        *self.lock() = Some(Arc::downgrade(&page));
        Ok(Some(page))
    }

    /// The page that is here, if it has news for a watcher at `after`.
    pub fn find(&self, after: u64) -> Option<Page> {
        let page = self.lock().as_ref().and_then(Weak::upgrade)?;
        serves(&page, after).then_some(page)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Weak<[Arc<Event>]>>> {
        self.last.lock().expect("no holder of this lock panics")
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
    use futures::future::join_all;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    async fn read(shelf: &Shelf, after: u64, found: &[u64]) -> Option<Page> {
        let read = async { Ok::<_, Infallible>(events(found.iter().copied())) };
        match shelf.page(after, read).await {
            Ok(page) => page,
        }
    }

    #[tokio::test]
    async fn page_is_held_once_for_all_who_stand_within_it() {
        let shelf = Shelf::default();
        assert!(read(&shelf, 4, &[]).await.is_none());
        assert!(read(&shelf, 4, &[3, 4]).await.is_none());
        // Numbers may jump.
        let page = read(&shelf, 4, &[5, 6, 9]).await.expect("it has news");
        for after in [4, 5, 7, 8] {
            let found = read(&shelf, after, &[]).await.expect("it is within");
            assert!(Arc::ptr_eq(&found, &page), "{after}");
        }
        for after in [0, 3, 9, 10] {
            assert!(read(&shelf, after, &[]).await.is_none(), "{after}");
        }
        let later = read(&shelf, 9, &[10]).await.expect("it has news");
        assert!(!Arc::ptr_eq(&later, &page));
    }

    #[tokio::test]
    async fn page_goes_with_its_last_reader() {
        let shelf = Shelf::default();
        drop(read(&shelf, 0, &[1, 2]).await.expect("it has news"));
        assert!(read(&shelf, 0, &[]).await.is_none());
    }

    #[tokio::test]
    async fn many_who_come_at_once_read_once() {
        let shelf = Shelf::default();
        let reads = AtomicUsize::new(0);
        let slow = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(events([1, 2]))
        };
        let pages = join_all((0..50).map(|_| shelf.page(0, slow()))).await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert!(pages.iter().all(|page| matches!(page, Ok(Some(_)))));
    }
}
