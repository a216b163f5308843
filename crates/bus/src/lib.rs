//! The `Bus` port over NATS: hints and live words between servers on one PostgreSQL database. It stores nothing and is
//! trusted with nothing: whatever NATS loses, the database still has.

mod connect;
mod subjects;
mod wire;

pub use connect::{BusError, Patience, Settings, connect};

use async_nats::connection::State;
use async_nats::{Client, Message};
use async_trait::async_trait;
use bytes::Bytes;
use domain::event::Event;
use domain::ports::bus::{Bus, Notice};
use domain::{OrgScope, RunId};
use futures::StreamExt;
use futures::stream::{BoxStream, empty, select_all};
use std::sync::Arc;
use std::time::Duration;
use subjects::Subjects;

/// How long a message may wait for room in the client's queue. Whoever does not get it in time finds it in the store.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long NATS may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// One server's connection.
pub struct NatsBus {
    client: Client,
    subjects: Subjects,
}

impl NatsBus {
    async fn publish(&self, subject: String, payload: Bytes) {
        let sent = tokio::time::timeout(PATIENCE, self.client.publish(subject, payload)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a message was not sent"
                );
            }
            Err(_) => tracing::debug!("a message found no room and was dropped"),
        }
    }

    /// NATS answers a request that nobody serves by itself, and a connection's commands in order: once it has, it knows
    /// the subscriptions made before. Without an answer in time it will know them when there is a connection again.
    async fn round_trip(&self) {
        let asked = self.client.request(self.subjects.nobody(), Bytes::new());
        if tokio::time::timeout(ANSWER_MAX, asked).await.is_err() {
            tracing::debug!("a subscription waits for NATS");
        }
    }

    /// A subscription that could not be made hears nothing; its owner looks into the store.
    async fn hear(&self, subject: String) -> BoxStream<'static, Message> {
        match self.client.subscribe(subject).await {
            Ok(subscriber) => {
                self.round_trip().await;
                subscriber.boxed()
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a subscription was refused"
                );
                empty().boxed()
            }
        }
    }
}

#[async_trait]
impl Bus for NatsBus {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    async fn tell(&self, notice: Notice) {
        let payload = match &notice {
            Notice::Changed { run, .. } | Notice::Tell { run, .. } => Bytes::from(run.to_string()),
            Notice::Work | Notice::Inbox { .. } => Bytes::new(),
        };
        self.publish(self.subjects.notice(&notice), payload).await;
    }

    async fn flush(&self) {
        // Nobody there to take it: it is lost, as it may be.
        let _ = tokio::time::timeout(ANSWER_MAX, self.client.flush()).await;
    }

    async fn notices(&self) -> BoxStream<'static, Notice> {
        let mut heard = Vec::new();
        for subject in self.subjects.notices() {
            heard.push(self.hear(subject).await);
        }
        let subjects = self.subjects.clone();
        select_all(heard)
            .filter_map(move |message| {
                let notice = subjects.read(message.subject.as_str(), &message.payload);
                std::future::ready(notice)
            })
            .boxed()
    }

    async fn tell_live(&self, scope: &OrgScope, run: RunId, events: &[Arc<Event>]) {
        let subject = self.subjects.live(scope.org(), run);
        let largest = self.client.server_info().max_payload;
        self.publish(subject, wire::encode(events, largest)).await;
    }

    async fn live(&self, scope: &OrgScope, run: RunId) -> BoxStream<'static, Vec<Event>> {
        let heard = self.hear(self.subjects.live(scope.org(), run)).await;
        heard.map(|message| wire::decode(&message.payload)).boxed()
    }
}
