//! The approvals' inbox as a stream: all that is pending, then what changes. It has no cursor; a new stream begins with
//! all that is pending again.

use super::Source;
use super::frame::json;
use crate::app::App;
use crate::wire::approvals::{ApprovalNews, ApprovalNewsKind};
use bytes::Bytes;
use domain::approval::{Approval, ApprovalStatus};
use domain::limits::PAGE_MAX;
use domain::ports::store::{ApprovalFilter, Page, StoreError};
use domain::{ApprovalId, OrgScope};
use futures::stream::{BoxStream, StreamExt};
use std::collections::HashSet;
use std::error::Error;
use std::task::{Context, Poll};

/// Pending approvals that one stream keeps an eye on, the newest first.
const WATCHED_MAX: usize = 1_000;

/// Frames of one org's inbox.
pub struct InboxStream {
    chunks: BoxStream<'static, Bytes>,
}

struct Watcher {
    app: App,
    scope: OrgScope,
    shown: HashSet<ApprovalId>,
    begun: bool,
}

impl InboxStream {
    /// Ends when the server stops; with `follow` false, after what is pending now.
    pub fn new(app: &App, scope: &OrgScope, follow: bool) -> Self {
        let watcher = Watcher {
            app: app.clone(),
            scope: scope.clone(),
            shown: HashSet::new(),
            begun: false,
        };
        let chunks = futures::stream::unfold(watcher, move |mut watcher| async move {
            loop {
                if watcher.begun && (!follow || !watcher.wait().await) {
                    return None;
                }
                watcher.begun = true;
                match watcher.look().await {
                    Ok(chunk) if chunk.is_empty() => {}
                    Ok(chunk) => return Some((Bytes::from(chunk), watcher)),
                    Err(error) => {
                        let error = &error as &dyn Error;
                        tracing::error!(error, "an inbox's stream broke off");
                        return None;
                    }
                }
            }
        });
        Self {
            chunks: chunks.boxed(),
        }
    }
}

impl Source for InboxStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl Watcher {
    /// False when the server stops. Another process may have written, so it looks again after a while in any case.
    async fn wait(&self) -> bool {
        tokio::select! {
            () = self.app.engine.inbox_changed() => true,
            () = tokio::time::sleep(self.app.settings.inbox_poll) => true,
            () = self.app.stop.cancelled() => false,
        }
    }

    /// Frames for what is new since the last look.
    async fn look(&mut self) -> Result<Vec<u8>, StoreError> {
        let pending = self.pending().await?;
        let ids: HashSet<ApprovalId> = pending.iter().map(|approval| approval.id).collect();
        let gone: Vec<ApprovalId> = self.shown.difference(&ids).copied().collect();
        let mut chunk = Vec::new();
        for approval in pending.into_iter().rev() {
            if self.shown.insert(approval.id) {
                frame(ApprovalNewsKind::ApprovalRequested, approval, &mut chunk);
            }
        }
        for id in gone {
            self.shown.remove(&id);
            // Gone with its thread, or only past the newest that are watched: nothing to tell then.
            let approval = self.app.store.get_approval(&self.scope, id).await?;
            if let Some(approval) = approval.filter(|it| it.status != ApprovalStatus::Pending) {
                frame(ApprovalNewsKind::ApprovalResolved, approval, &mut chunk);
            }
        }
        Ok(chunk)
    }

    async fn pending(&self) -> Result<Vec<Approval>, StoreError> {
        let filter = ApprovalFilter {
            status: Some(ApprovalStatus::Pending),
            run: None,
        };
        let mut all: Vec<Approval> = Vec::new();
        loop {
            let below = all
                .last()
                .map(|approval| (approval.requested_at, approval.id.uuid()));
            let page = Page {
                limit: PAGE_MAX,
                below,
            };
            let more = self
                .app
                .store
                .list_approvals(&self.scope, &filter, page)
                .await?;
            let full = more.len() >= PAGE_MAX as usize;
            all.extend(more);
            if !full || all.len() >= WATCHED_MAX {
                return Ok(all);
            }
        }
    }
}

fn frame(kind: ApprovalNewsKind, approval: Approval, chunk: &mut Vec<u8>) {
    chunk.extend_from_slice(b"event: ");
    chunk.extend_from_slice(kind.as_str().as_bytes());
    chunk.extend_from_slice(b"\ndata: ");
    let approval = approval.into();
    json(&ApprovalNews { kind, approval }, chunk);
    chunk.extend_from_slice(b"\n\n");
}
