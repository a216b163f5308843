//! rmcp's HTTP client with a token on every request. A token that is refused is renewed once; the server has done nothing
//! with a request that it refused, so that is sent again.

use super::{NoToken, Tokens};
use futures::stream::BoxStream;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::auth::AuthError;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::{Error as SseError, Sse};
use std::collections::HashMap;
use std::sync::Arc;

type Failed = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;

#[derive(Clone)]
pub(in crate::mcp) struct Authorized {
    pub client: reqwest::Client,
    pub tokens: Arc<Tokens>,
}

impl Authorized {
    async fn send<T, F, S>(&self, send: F) -> Result<T, Failed>
    where
        F: Fn(Option<String>) -> S,
        S: Future<Output = Result<T, Failed>>,
    {
        let token = self.tokens.token(None).await.map_err(unsent)?;
        match send(Some(token.clone())).await {
            Err(StreamableHttpError::AuthRequired(_)) => {
                let fresh = self.tokens.token(Some(&token)).await.map_err(unsent)?;
                send(Some(fresh)).await
            }
            answered => answered,
        }
    }
}

/// Nothing was sent. Its text is for the caller.
fn unsent(error: NoToken) -> Failed {
    StreamableHttpError::Auth(AuthError::AuthorizationFailed(error.to_string()))
}

impl StreamableHttpClient for Authorized {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        self.send(|token| {
            let (uri, message) = (uri.clone(), message.clone());
            let (session, headers) = (session.clone(), headers.clone());
            async move {
                self.client
                    .post_message(uri, message, session, token, headers)
                    .await
            }
        })
        .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        self.send(|token| {
            let (uri, message) = (uri.clone(), message.clone());
            let (session, headers, limits) = (session.clone(), headers.clone(), limits);
            async move {
                self.client
                    .post_message_with_response_limits(
                        uri, message, session, token, headers, limits,
                    )
                    .await
            }
        })
        .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        self.send(|token| {
            let (uri, session, headers) = (uri.clone(), session.clone(), headers.clone());
            async move {
                self.client
                    .delete_session(uri, session, token, headers)
                    .await
            }
        })
        .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed> {
        self.send(|token| {
            let (uri, session) = (uri.clone(), session.clone());
            let (last, headers) = (last_event_id.clone(), headers.clone());
            async move {
                self.client
                    .get_stream(uri, session, last, token, headers)
                    .await
            }
        })
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed> {
        self.send(|token| {
            let (uri, session) = (uri.clone(), session.clone());
            let (last, headers) = (last_event_id.clone(), headers.clone());
            async move {
                self.client
                    .get_stream_with_max_sse_event_size(
                        uri,
                        session,
                        last,
                        token,
                        headers,
                        max_sse_event_size,
                    )
                    .await
            }
        })
        .await
    }
}
