//! The stream of a run as a client reads it, joined again where it breaks. It does not know what the events mean.

use super::Failure;
use super::client::{Client, strange};
use super::frames::{Frame, Frames};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// How often a broken stream is joined again, and how long to wait before.
const RESUMES_MAX: u32 = 60;
const RESUME_PAUSE: Duration = Duration::from_millis(500);

/// An event of a run's stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: String,
    pub data: Value,
    /// The data as it came.
    pub raw: String,
}

/// A run's stream, joined again where it broke.
pub struct Events {
    pub run_id: String,
    response: Option<Response>,
    frames: Frames,
    ready: VecDeque<Frame>,
    cursor: Option<String>,
    resumes: u32,
    ended: bool,
}

impl Events {
    /// Reads from the answer that started the run.
    pub fn of(run_id: String, response: Response) -> Self {
        Self {
            run_id,
            response: Some(response),
            frames: Frames::default(),
            ready: VecDeque::new(),
            cursor: None,
            resumes: 0,
            ended: false,
        }
    }

    /// The next event; `None` after `done`. Waits for the server to come back if it goes away in between.
    pub async fn next(&mut self, client: &Client) -> Result<Option<Event>, Failure> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(frame) = self.ready.pop_front() {
                return self.take(frame).map(Some);
            }
            let chunk = match &mut self.response {
                Some(response) => response.chunk().await.ok().flatten(),
                None => None,
            };
            match chunk {
                Some(bytes) => {
                    let frames = self
                        .frames
                        .push(&bytes)
                        .map_err(|error| strange("the stream cannot be read").because(&error))?;
                    self.ready.extend(frames);
                }
                None => self.resume(client).await?,
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Result<Event, Failure> {
        if frame.id.is_some() {
            self.cursor = frame.id;
        }
        self.resumes = 0;
        self.ended = frame.event == "done";
        let data = serde_json::from_str(&frame.data)
            .map_err(|error| strange("an event is no JSON").because(&error))?;
        Ok(Event {
            kind: frame.event,
            data,
            raw: frame.data,
        })
    }

    async fn resume(&mut self, client: &Client) -> Result<(), Failure> {
        self.response = None;
        self.frames = Frames::default();
        self.resumes += 1;
        tokio::time::sleep(RESUME_PAUSE).await;
        let after = self.cursor.as_deref().unwrap_or("0");
        let path = format!("runs/{}/events?after={after}", self.run_id);
        match client.request(Method::GET, &path, None).await {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {}
            Ok(response) => self.response = Some(client.accepted(response).await?),
            Err(failure) if self.resumes >= RESUMES_MAX => return Err(failure),
            Err(_) => {}
        }
        Ok(())
    }
}
