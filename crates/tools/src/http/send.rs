//! Sends a request, and knows of each failure whether the request may have arrived.

use super::HttpTool;
use crate::egress;
use domain::seeded::Seeded;
use domain::tool::Effect;
use reqwest::{Request, Response, StatusCode};
use url::Url;

/// Why there is no response.
pub(super) enum Failed {
    /// Nothing was sent.
    Before(String),
    /// A redirect led nowhere, after an answer.
    Redirect(String),
    /// It may have been sent.
    Cut,
}

impl HttpTool {
    /// Sends a request; one that was cut, once more if it may be repeated: most often it met a kept connection that the
    /// other side had just closed.
    pub(super) async fn send_safely(&self, request: Request) -> Result<Response, Failed> {
        let again = match self.effect {
            Effect::Idempotent | Effect::Keyed => request.try_clone(),
            Effect::Unsafe => None,
        };
        match (self.send(request).await, again) {
            (Err(Failed::Cut), Some(again)) => match self.send(again).await {
                // The first may have arrived.
                Err(Failed::Before(_)) => Err(Failed::Cut),
                other => other,
            },
            (other, _) => other,
        }
    }

    /// Sends a request and follows as many redirects as allowed, each checked like the first address.
    async fn send(&self, mut request: Request) -> Result<Response, Failed> {
        let mut hops = 0;
        loop {
            let url = request.url().clone();
            let headers = request.headers().clone();
            let response = self
                .send_once(request)
                .await
                .map_err(|failed| match failed {
                    Failed::Before(why) if hops > 0 => Failed::Redirect(why),
                    other => other,
                })?;
            let Some(next) = redirected(&response).filter(|_| hops < self.redirects) else {
                return Ok(response);
            };
            hops += 1;
            request = Request::new(self.method.clone(), next);
            // Another origin gets neither secrets nor anything else that was meant for the first.
            if request.url().origin() == url.origin() || Seeded::SecretsRedirected.is_on() {
                *request.headers_mut() = headers;
            }
        }
    }

    async fn send_once(&self, request: Request) -> Result<Response, Failed> {
        let refused = |refused: &egress::Refused| {
            tracing::warn!(tool.name = %self.name, "egress refused: {refused}");
            Failed::Before(refused.to_string())
        };
        let port = self
            .egress
            .check(request.url())
            .map_err(|why| refused(&why))?;
        let client = self.egress.client(port, self.reuse()).map_err(|error| {
            tracing::error!(tool.name = %self.name, "no HTTP client: {error}");
            Failed::Before("the server cannot make connections now".to_owned())
        })?;
        client.execute(request).await.map_err(|error| {
            let error = error.without_url();
            if let Some(why) = egress::refusal(&error) {
                return refused(why);
            }
            tracing::warn!(tool.name = %self.name, "request failed: {error:?}");
            if error.is_connect() {
                Failed::Before("the service cannot be reached; nothing was sent".to_owned())
            } else if error.is_builder() {
                Failed::Before("the request cannot be made".to_owned())
            } else {
                Failed::Cut
            }
        })
    }
}

fn redirected(response: &Response) -> Option<Url> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !is_redirect {
        return None;
    }
    let location = response.headers().get("location")?.to_str().ok()?;
    response.url().join(location).ok()
}
