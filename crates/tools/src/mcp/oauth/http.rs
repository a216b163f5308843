//! How authorization servers are reached: by the egress rules of every tool, without following a redirect.

use crate::egress::{Egress, Reuse};
use http::{Request, Response};
use rmcp::transport::auth::{
    OAuthHttpClient, OAuthHttpClientError, OAuthHttpClientFuture, OAuthHttpRequest,
};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub(super) struct Guarded(pub Arc<Egress>);

#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
struct TooLong;

impl OAuthHttpClient for Guarded {
    fn execute(&self, request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(async move {
            let limit = request.timeout.unwrap_or(Duration::from_secs(30));
            let sent = self.send(request.request);
            tokio::time::timeout(limit, sent).await?
        })
    }
}

impl Guarded {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, OAuthHttpClientError> {
        let url = Url::parse(&request.uri().to_string())?;
        let port = self.0.check(&url)?;
        let client = self.0.client(port, Reuse::Never)?;
        let (parts, body) = request.into_parts();
        let sending = client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body);
        let mut answer = sending.send().await?;
        let mut read = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            read.extend_from_slice(&chunk);
            if read.len() > ANSWER_BYTES_MAX {
                return Err(TooLong.into());
            }
        }
        let mut response = Response::new(read);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}
