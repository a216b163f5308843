//! A server at a URL, over streamable HTTP. Connections are made by the same rules as those of every other tool.

use super::oauth::Tokens;
use crate::egress::{Egress, Reuse};
use crate::limits;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::transport::{StreamableHttpClientTransport, Transport};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// For the end of a session to be told to its server.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where it is, and what is sent along with every request.
pub(super) struct Remote {
    pub url: Url,
    pub headers: HashMap<HeaderName, HeaderValue>,
    pub egress: Arc<Egress>,
    pub message_bytes_max: usize,
    pub concurrency_max: usize,
    /// Where a person logs in for it.
    pub tokens: Option<Arc<Tokens>>,
}

impl Remote {
    /// Follows no redirect and keeps no connection for the next request: a kept one that the other side is closing
    /// would leave it unknown whether a call arrived.
    pub(super) fn client(&self) -> Result<reqwest::Client, Box<dyn Error + Send + Sync>> {
        let port = self.egress.check(&self.url)?;
        Ok(self.egress.client(port, Reuse::Never)?)
    }

    pub(super) fn transport<C: StreamableHttpClient>(&self, client: C) -> Session<C> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str())
            .custom_headers(self.headers.clone())
            // Calls are counted before they come here; the list of tools must find room beside them.
            .max_concurrent_requests(self.concurrency_max + 4)
            .max_sse_event_size(self.message_bytes_max)
            .max_json_response_size(self.message_bytes_max)
            .max_error_response_size(limits::FAILURE_CHARS_MAX);
        Session(Some(StreamableHttpClientTransport::with_client(
            client, config,
        )))
    }
}

/// What is behind an error, also where rmcp's has it in its text alone.
pub(super) fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(inner)) => Some(inner),
        _ => error.source(),
    }
}

/// A transport whose end takes bounded time. The worker inside may be handing over a message that nobody takes any more,
/// because the conversation was cut off for its noise; it then hears of its end only when it is dropped.
pub(super) struct Session<C: StreamableHttpClient>(Option<StreamableHttpClientTransport<C>>);

impl<C: StreamableHttpClient> Transport<RoleClient> for Session<C> {
    type Error = StreamableHttpError<C::Error>;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let sending = self.0.as_mut().map(|open| open.send(message));
        async move {
            match sending {
                Some(sending) => sending.await,
                None => Err(StreamableHttpError::TransportChannelClosed),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.0.as_mut()?.receive().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        match self.0.take() {
            Some(mut open) => timeout(GOODBYE, open.close()).await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}
