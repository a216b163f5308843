//! Reads a document from the place that the operator wrote down.

use crate::config::EgressConfig;
use crate::egress::{Egress, Lookup, Refused, Reuse};
use crate::error::ConfigError;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Bytes of a document.
const BYTES_MAX: usize = 8 << 20;

/// How long it may take to come.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("it is no URL")]
    Url(#[source] url::ParseError),
    #[error("the egress rules cannot be used")]
    Egress(#[source] ConfigError),
    #[error("egress refused")]
    Refused(#[source] Refused),
    #[error("it cannot be read")]
    Request(#[source] reqwest::Error),
    #[error("the answer has status {status}")]
    Status { status: u16 },
    #[error("it is longer than {BYTES_MAX} bytes, or no text")]
    Content,
    #[error("it did not come within {} s", LIMIT.as_secs())]
    Late,
}

/// The document's text. Follows no redirect.
pub async fn fetch(
    url: &str,
    egress: &EgressConfig,
    lookup: Arc<dyn Lookup>,
) -> Result<String, FetchError> {
    let url = Url::parse(url).map_err(FetchError::Url)?;
    let egress = Egress::declared(egress, &url, &lookup).map_err(FetchError::Egress)?;
    let port = egress.check(&url).map_err(FetchError::Refused)?;
    let client = egress
        .client(port, Reuse::Never)
        .map_err(FetchError::Request)?;
    let reading = async {
        let sent = client.get(url).send().await;
        let mut response = sent.map_err(FetchError::Request)?;
        let status = response.status();
        if !status.is_success() {
            let status = status.as_u16();
            return Err(FetchError::Status { status });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FetchError::Request)? {
            if bytes.len() + chunk.len() > BYTES_MAX {
                return Err(FetchError::Content);
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| FetchError::Content)
    };
    let read = tokio::time::timeout(LIMIT, reading).await;
    read.map_err(|_| FetchError::Late)?
}
