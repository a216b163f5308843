//! What servers on one store tell each other beside it. All of it may be lost or come twice: the store is the truth, a
//! notice only makes somebody look there sooner, and live events are the words of a turn that is not stored yet.

use crate::event::Event;
use crate::{OrgId, OrgScope, RunId};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::sync::Arc;

/// A hint to every other server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A run may be waiting for a worker.
    Work,
    /// Somebody else than its driver changed the run.
    Changed { org: OrgId, run: RunId },
    /// Whoever drives the run should tell again what is not in the store yet: somebody began to watch.
    Tell { org: OrgId, run: RunId },
    /// An approval of the org was asked for or decided.
    Inbox { org: OrgId },
}

#[async_trait]
pub trait Bus: Send + Sync {
    /// Whether the others can be reached right now, as far as is known here.
    fn is_connected(&self) -> bool;

    /// Tells every other server. Does not wait until they heard it.
    async fn tell(&self, notice: Notice);

    /// Waits, not long, until what was told is on its way.
    async fn flush(&self);

    /// Notices of other servers from here on. Ends only with the bus.
    async fn notices(&self) -> BoxStream<'static, Notice>;

    /// Tells the run's watchers at other servers of events, in order; none means that the store has news.
    async fn tell_live(&self, scope: &OrgScope, run: RunId, events: &[Arc<Event>]);

    /// What the run's driver, wherever it is, tells from here on. An empty list means: look into the store.
    async fn live(&self, scope: &OrgScope, run: RunId) -> BoxStream<'static, Vec<Event>>;
}
