//! Streams of server-sent events: pulled by the connection, so that a slow reader holds one chunk and no more. What the
//! events are, and where they come from, is not known here.

mod frame;
mod inbox;
mod response;
mod run;
mod timestamp;

pub use frame::Encoder;
pub use inbox::InboxStream;
pub use response::ResponseStream;
pub use run::{Disconnect, RunStream};

use crate::caller::Revocation;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// One line and no blank one after it: a blank line would end an event, and published clients take an event that has
/// an `id` and no data for broken JSON.
const HEARTBEAT: &[u8] = b": keep-alive\n";

/// Something that writes itself into a stream.
pub trait Source: Send + Unpin + 'static {
    /// The next bytes, as many as are ready at once; `None` at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// A source with heartbeats, ended when its caller's key is revoked.
pub struct Stream<S> {
    source: S,
    heartbeat: Duration,
    last: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    revoked: Revocation,
}

impl<S: Source> Stream<S> {
    pub fn new(source: S, heartbeat: Duration, revoked: Revocation) -> Self {
        Self {
            source,
            heartbeat,
            last: Instant::now(),
            sleep: None,
            revoked,
        }
    }

    /// Ready when nothing was written for as long as a heartbeat takes.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.last + self.heartbeat;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // Set once and moved only when it rings: a timer reset for every chunk would cost more than the chunk.
            let due = self.last + self.heartbeat;
            if Instant::now() < due {
                sleep.as_mut().reset(due);
                continue;
            }
            self.last = Instant::now();
            sleep.as_mut().reset(self.last + self.heartbeat);
            return Poll::Ready(());
        }
    }
}

impl<S: Source> HttpBody for Stream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        match this.source.poll_chunk(cx) {
            Poll::Ready(Some(chunk)) => {
                this.last = Instant::now();
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if Pin::new(&mut this.revoked).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        this.poll_silence(cx)
            .map(|()| Some(Ok(Frame::data(Bytes::from_static(HEARTBEAT)))))
    }
}

/// The answer that carries `body`, not to be cached, rewritten or buffered on its way.
pub fn response<S: Source>(stream: Stream<S>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        ),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::new(stream)).into_response()
}
