//! One inference turn's events as a stream.

use super::Source;
use crate::wire::responses::stream::Writer;
use bytes::Bytes;
use engine::InferEvent;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::task::{Context, Poll};

/// Bytes of one chunk after which it is sent even if more is ready.
const CHUNK_BYTES: usize = 16 << 10;

pub struct ResponseStream {
    events: BoxStream<'static, InferEvent>,
    writer: Writer,
    begun: bool,
    over: bool,
}

impl ResponseStream {
    pub fn new(events: BoxStream<'static, InferEvent>, writer: Writer) -> Self {
        Self {
            events,
            writer,
            begun: false,
            over: false,
        }
    }
}

impl Source for ResponseStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut chunk = Vec::new();
        if !self.begun {
            self.begun = true;
            self.writer.begin(&mut chunk);
        }
        while !self.over && chunk.len() < CHUNK_BYTES {
            match self.events.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => self.over = self.writer.write(event, &mut chunk),
                Poll::Ready(None) => self.over = true,
                Poll::Pending if chunk.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if chunk.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Ready(Some(chunk.into()))
        }
    }
}
