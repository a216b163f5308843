//! Sends a turn's request and reads its answer, over the client that suits the lane's address.

use crate::config::Wire;
use crate::fault::Fault;
use crate::lane::Remote;
use crate::plain::{self, Lost};
use futures::FutureExt;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

const JSON: &str = "application/json";

/// An answer whose head has come. Dropping it before its end closes the connection, or resets its stream.
#[derive(Debug)]
pub(crate) enum Response {
    Plain(Box<plain::Response>),
    Shared(reqwest::Response),
}

impl Response {
    /// Posts JSON to the lane's server and waits for the head of what it says.
    pub(crate) async fn of(remote: &Remote, model: &str, body: Vec<u8>) -> Result<Self, Fault> {
        let url = remote.wire.answer_url(&remote.base, model);
        let accept = match remote.wire {
            Wire::Ollama => "application/x-ndjson",
            _ => "text/event-stream",
        };
        if let Some(server) = &remote.plain {
            let fields = [
                ("user-agent", crate::client::USER_AGENT),
                (CONTENT_TYPE.as_str(), JSON),
                (ACCEPT.as_str(), accept),
            ];
            let answered = server.post(&url, &fields, &remote.headers, &body).await;
            return Ok(Self::Plain(Box::new(answered?)));
        }
        let sent = remote
            .client
            .post(url)
            .headers(remote.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(JSON))
            .header(ACCEPT, HeaderValue::from_static(accept))
            .body(body)
            .send()
            .await;
        Ok(Self::Shared(sent.map_err(|error| of_transport(&error))?))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Plain(response) => response.status,
            Self::Shared(response) => response.status(),
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Plain(response) => &response.headers,
            Self::Shared(response) => response.headers(),
        }
    }

    /// Appends what comes next of the body, waiting for it if need be. False at the body's end.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, Fault> {
        match self {
            Self::Plain(response) => Ok(response.read(out).await?),
            Self::Shared(response) => taken(response.chunk().await, out),
        }
    }

    /// Appends more of what came together with the last read; `None` if that was all. The shared client's connections
    /// have tasks of their own, which hand chunks over one by one and need a turn in between: without this each token
    /// would wake its watchers and be written to them alone.
    pub(crate) async fn read_along(&mut self, out: &mut Vec<u8>) -> Option<Result<bool, Fault>> {
        match self {
            Self::Plain(_) => None,
            Self::Shared(response) => {
                tokio::task::yield_now().await;
                Some(taken(response.chunk().now_or_never()?, out))
            }
        }
    }
}

fn taken(
    chunk: reqwest::Result<Option<impl AsRef<[u8]>>>,
    out: &mut Vec<u8>,
) -> Result<bool, Fault> {
    let chunk = chunk.map_err(|_| Fault::Broken)?;
    if let Some(chunk) = &chunk {
        out.extend_from_slice(chunk.as_ref());
    }
    Ok(chunk.is_some())
}

impl From<Lost> for Fault {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotConnected { timed_out } => Self::Connect { timed_out },
            Lost::Broken => Self::Broken,
        }
    }
}

fn of_transport(error: &reqwest::Error) -> Fault {
    if error.is_connect() {
        Fault::Connect {
            timed_out: error.is_timeout(),
        }
    } else if error.is_builder() {
        Fault::Unusable
    } else {
        Fault::Broken
    }
}
