//! A watcher's view of a run: everything after a cursor, from the store and then live, until `done`.

use crate::feed::{Feed, Found, Look, PASSED_EVENTS, Page, Turn};
use crate::{Engine, EngineError};
use domain::event::Event;
use domain::ports::store::{Store, StoreError};
use domain::seeded::Seeded;
use domain::{OrgScope, RunId};
use futures::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Log records read from the store at once.
const STORE_PAGE: u32 = 64;

#[derive(Debug, Clone)]
pub enum Followed {
    /// In order, none missing, never empty.
    Events(Vec<Arc<Event>>),
    /// This process is going away; the rest is to be had elsewhere, from the last event on. Last.
    Moved,
}

struct Watcher {
    engine: Arc<Engine>,
    scope: OrgScope,
    run: RunId,
    after: u64,
    feed: Arc<Feed>,
    news: watch::Receiver<u64>,
    /// What was read from the store and may not all be passed on yet.
    page: Option<Page>,
    follow: bool,
    over: bool,
}

impl Engine {
    /// The run's events numbered above `after`. Ends after `done`, or, with `follow` false, where the log ends now. The
    /// caller has checked that the run is the org's.
    pub fn follow(
        self: &Arc<Self>,
        scope: &OrgScope,
        run: RunId,
        after: u64,
        follow: bool,
    ) -> impl Stream<Item = Result<Followed, EngineError>> + Send + 'static + use<> {
        let feed = self.feeds.open(scope.org(), run);
        let watcher = Watcher {
            engine: self.clone(),
            scope: scope.clone(),
            run,
            after,
            news: feed.watch(),
            feed,
            page: None,
            follow,
            over: false,
        };
        futures::stream::unfold(watcher, |mut watcher| async move {
            if watcher.over {
                return None;
            }
            let item = watcher.next().await?;
            watcher.over |= matches!(item, Ok(Followed::Moved) | Err(_));
            Some((item, watcher))
        })
    }
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Followed, EngineError>> {
        loop {
            if let Some(events) = self.portion() {
                return Some(Ok(self.pass(events)));
            }
            // Seen before the look, so that what comes during it is not missed.
            self.news.borrow_and_update();
            match self.feed.read(self.after) {
                Found::Events(events) => return Some(Ok(self.pass(events))),
                Found::Nothing if !self.follow => return None,
                Found::Nothing => {
                    if !self.wait(None).await {
                        return Some(Ok(Followed::Moved));
                    }
                }
                Found::InStore => match self.read_store().await {
                    Ok(Stored::Page(page)) => self.page = Some(page),
                    Ok(Stored::Over) => return None,
                    Ok(Stored::NoneYet) if !self.follow => return None,
                    Ok(Stored::NoneYet) => {
                        self.engine.listen(&self.scope, self.run, &self.feed);
                        let poll = self.engine.settings.remote_poll;
                        if !self.wait(self.engine.remote.poll(poll)).await {
                            return Some(Ok(Followed::Moved));
                        }
                    }
                    Err(error) => return Some(Err(error.into())),
                },
            }
        }
    }

    fn pass(&mut self, events: Vec<Arc<Event>>) -> Followed {
        if let Some(last) = events.last() {
            self.after = last.seq;
            self.over = last.body.is_done();
        }
        Followed::Events(events)
    }

    /// The next events of the page in hand. It is put away by whoever comes back for more and finds none: until then its
    /// last events are held by it and not for this watcher alone.
    fn portion(&mut self) -> Option<Vec<Arc<Event>>> {
        let page = self.page.as_ref()?;
        let after = self.after - u64::from(Seeded::CursorOffByOne.is_on() && self.after > 0);
        let first = page.partition_point(|event| event.seq <= after);
        let events: Vec<Arc<Event>> = page[first..].iter().take(PASSED_EVENTS).cloned().collect();
        if events.is_empty() {
            self.page = None;
            return None;
        }
        Some(events)
    }

    /// Reading is a task of its own: a watcher whose client does not read is not run, and must not keep the page from the
    /// others who wait for it.
    async fn read_store(&self) -> Result<Stored, StoreError> {
        let turn = loop {
            match self.feed.shelf.look(self.after) {
                Look::Page(page) => return Ok(Stored::Page(page)),
                Look::Read(turn) => break turn,
                Look::Busy(mut reading) => {
                    // Nobody sends: it ends with the turn.
                    let _ = reading.changed().await;
                }
            }
        };
        let read = Read {
            store: self.engine.store.clone(),
            feed: self.feed.clone(),
            scope: self.scope.clone(),
            run: self.run,
            after: self.after,
        };
        match tokio::spawn(read.take(turn)).await {
            Ok(found) => found,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(ended) => Err(StoreError::Unavailable(Box::new(ended))),
            },
        }
    }

    /// False when the process is going away and nobody here will tell more.
    async fn wait(&mut self, poll: Option<Duration>) -> bool {
        let engine = &self.engine;
        let driven = engine.drivers.has(self.scope.org(), self.run);
        let gone = if driven {
            &engine.stopping
        } else {
            &engine.draining
        };
        let poll = async {
            match poll {
                Some(poll) => tokio::time::sleep(poll).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.news.changed() => changed.is_ok(),
            () = gone.cancelled() => false,
            () = poll => true,
        }
    }
}

/// A look into the store for what follows `after`.
struct Read {
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    scope: OrgScope,
    run: RunId,
    after: u64,
}

impl Read {
    /// The turn goes when the page is there.
    async fn take(self, _turn: Turn) -> Result<Stored, StoreError> {
        // The state is read before the log: a run that was over then has its whole log there.
        let run = self.store.get_run(&self.scope, self.run).await?;
        let records = self
            .store
            .read_log(&self.scope, self.run, self.after, STORE_PAGE)
            .await?;
        // Whole records, so that whoever stands elsewhere in the first can use them too.
        let events = records
            .into_iter()
            .flat_map(|record| record.events_after(0))
            .map(Arc::new)
            .collect();
        Ok(match self.feed.shelf.put(self.after, events) {
            Some(page) => Stored::Page(page),
            None if run.is_none_or(|run| run.status().is_terminal()) => Stored::Over,
            None => Stored::NoneYet,
        })
    }
}

enum Stored {
    /// With news.
    Page(Page),
    NoneYet,
    Over,
}
