//! A thread that begins with a part of another one's history. What belongs into that part is decided by
//! `domain::thread`.

use crate::Engine;
use domain::limits::PREVIEW_CHARS_MAX;
use domain::message::{Message, Role};
use domain::ports::store::StoreError;
use domain::thread::{ForkPoint, ForkRefused, Thread, ThreadStatus, fork_length};
use domain::{OrgScope, ThreadId};
use serde_json::Value;

/// Names the source in the new thread's metadata.
const FORKED_FROM: &str = "forked_from";

#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// No such thread in this org.
    #[error("no such thread")]
    NotFound,
    #[error("the history cannot be cut there")]
    Refused(#[from] ForkRefused),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Makes a thread of the same agent with the history of `source` up to `point`; `title` replaces the source's. On
    /// return it is on disk. The source may go on meanwhile: histories only grow.
    pub async fn fork_thread(
        &self,
        scope: &OrgScope,
        source: ThreadId,
        point: ForkPoint,
        title: Option<String>,
    ) -> Result<Thread, ForkError> {
        let found = self.store.get_thread(scope, source).await?;
        let found = found.ok_or(ForkError::NotFound)?;
        let messages = self.store.thread_messages(scope, source).await?;
        let length = fork_length(&messages, point)?;
        let now = self.clock.now();
        let mut metadata = found.metadata;
        metadata.insert(FORKED_FROM.to_owned(), Value::from(source.to_string()));
        let fork = Thread {
            id: ThreadId::new(self.clock.uuid()),
            agent_type: found.agent_type,
            title: title.or(found.title),
            metadata,
            status: ThreadStatus::Idle,
            active_run: None,
            created_at: now,
            updated_at: now,
            message_count: u32::try_from(length).unwrap_or(u32::MAX),
            last_message_preview: preview(&messages[..length]),
        };
        if self.store.fork_thread(scope, source, &fork).await? {
            Ok(fork)
        } else {
            Err(ForkError::NotFound)
        }
    }
}

/// The last words of a person or an agent.
fn preview(messages: &[Message]) -> Option<String> {
    let spoken = messages.iter().rev().filter(|message| match message.role {
        Role::User | Role::Assistant => true,
        Role::Tool | Role::System => false,
    });
    spoken
        .map(|message| message.content.preview(PREVIEW_CHARS_MAX))
        .find(|text| !text.trim().is_empty())
}
