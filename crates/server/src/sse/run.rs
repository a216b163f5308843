//! One run's events as a stream.

use super::{Encoder, Source};
use crate::app::App;
use bytes::Bytes;
use domain::crash::crash_point;
use domain::event::Event;
use domain::{OrgScope, RunId};
use engine::{EngineError, Followed};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes of one chunk after which it is sent even if more is ready.
const CHUNK_BYTES: usize = 16 << 10;

/// Says where the rest is to be had, when this process is going away. No blank line: there is no event to end.
const MOVED: &[u8] = b"retry: 500\n";

/// What the end of the connection means to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    Nothing,
    CancelsRun,
}

/// The events of a run after a cursor.
pub struct RunStream {
    app: App,
    scope: OrgScope,
    run: RunId,
    events: BoxStream<'static, Result<Followed, EngineError>>,
    /// Events that did not fit into the last chunk.
    rest: std::vec::IntoIter<Arc<Event>>,
    encoder: Encoder,
    disconnect: Disconnect,
    begun: bool,
    over: bool,
}

impl RunStream {
    /// The caller has checked that the run is the org's.
    pub fn new(
        app: &App,
        scope: &OrgScope,
        run: RunId,
        events: BoxStream<'static, Result<Followed, EngineError>>,
        disconnect: Disconnect,
    ) -> Self {
        Self {
            app: app.clone(),
            scope: scope.clone(),
            run,
            events,
            rest: Vec::new().into_iter(),
            encoder: Encoder::new(run),
            disconnect,
            begun: false,
            over: false,
        }
    }

    /// True when nothing more follows.
    fn write(&mut self, item: Option<Result<Followed, EngineError>>, chunk: &mut Vec<u8>) -> bool {
        match item {
            None => true,
            Some(Ok(Followed::Events(events))) => {
                self.rest = events.into_iter();
                false
            }
            Some(Ok(Followed::Moved)) => {
                chunk.extend_from_slice(MOVED);
                true
            }
            Some(Err(error)) => {
                // The status line is sent: what can be said now is "come back".
                let (run, error) = (self.run, &error as &dyn Error);
                tracing::error!(run.id = %run, error, "a run's stream broke off");
                chunk.extend_from_slice(MOVED);
                true
            }
        }
    }
}

impl Source for RunStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_BYTES {
            if let Some(event) = self.rest.next() {
                if chunk.capacity() == 0 {
                    chunk.reserve(1024);
                }
                self.encoder.write(&event, &mut chunk);
                continue;
            }
            let Poll::Ready(item) = self.events.poll_next_unpin(cx) else {
                break;
            };
            if self.write(item, &mut chunk) {
                self.over = true;
                break;
            }
        }
        if chunk.is_empty() {
            return if self.over {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        if self.begun {
            crash_point("stream.after_first_frame");
        } else {
            crash_point("stream.before_first_frame");
            self.begun = true;
        }
        Poll::Ready(Some(Bytes::from(chunk)))
    }
}

impl Drop for RunStream {
    fn drop(&mut self) {
        if self.over || self.disconnect == Disconnect::Nothing {
            return;
        }
        let (app, scope, run) = (self.app.clone(), self.scope.clone(), self.run);
        self.app.tasks.spawn(async move {
            let reason = Some("the client went away".to_owned());
            match app.engine.cancel(&scope, run, reason, None).await {
                Ok(_) | Err(EngineError::Terminal { .. }) => {}
                Err(error) => {
                    let error = &error as &dyn Error;
                    tracing::warn!(run.id = %run, error, "a dropped stream's run was not cancelled");
                }
            }
        });
    }
}
