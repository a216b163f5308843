//! Messages to other systems, sent from the outbox: each endpoint by itself, again until it takes them or they are given
//! up. A process that dies in the middle loses nothing; its messages are taken up by whoever runs next.

mod retry;
mod send;
mod sign;

pub use sign::Key;

use crate::config::Webhook;
use ::tools::egress::Egress;
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use domain::webhook::{Posted, Settled};
use engine::Engine;
use futures::stream::{self, StreamExt};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Messages of one endpoint taken at once.
const BATCH: u32 = 8;
/// How long a taken message is this process's own: longer than an attempt takes. A batch is sent at once.
const LEASE: Duration = Duration::from_secs(15);
/// Between looks where nothing is heard of new messages: other processes write some too, and retries fall due.
const LOOK: Duration = Duration::from_secs(1);

/// Sends what one endpoint is to be told, until `stop`.
pub struct Courier {
    pub webhook: Webhook,
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub clock: Arc<dyn Clock>,
    pub egress: Arc<Egress>,
    pub stop: CancellationToken,
}

impl Courier {
    pub async fn run(self) {
        loop {
            let news = self.engine.outbox_changed();
            let sent = tokio::select! {
                sent = self.round() => sent,
                () = self.stop.cancelled() => return,
            };
            if sent >= BATCH as usize {
                continue;
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Sends what is due, a batch at most. Returns how many there were.
    async fn round(&self) -> usize {
        let endpoint = &self.webhook.subscription.endpoint;
        let now = self.clock.now();
        let taken = self
            .store
            .system_take_deliveries(endpoint, now, LEASE, BATCH)
            .await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(webhook = %endpoint, error, "messages could not be taken; trying again");
                return 0;
            }
        };
        let count = taken.len();
        stream::iter(taken)
            .for_each_concurrent(None, |posted| self.deliver(posted))
            .await;
        count
    }

    async fn deliver(&self, posted: Posted) {
        let sent = send::send(&self.egress, &self.webhook, &posted, self.clock.now()).await;
        let endpoint = &self.webhook.subscription.endpoint;
        let settled = retry::settle(sent, posted.attempts, self.clock.now(), self.clock.uuid());
        if let Settled::Dead { error } = &settled {
            tracing::error!(
                webhook = %endpoint,
                message.id = %posted.delivery.id,
                error,
                "a message was given up; `runyard webhooks replay` sends it again"
            );
        }
        let kept = self
            .store
            .system_settle_delivery(posted.seq, posted.attempts, &settled)
            .await;
        if let Err(error) = kept {
            let error = &error as &dyn Error;
            tracing::warn!(webhook = %endpoint, error, "what became of a message was not kept; it is sent again");
        }
    }
}
