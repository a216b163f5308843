//! What happens to every request before and after its handler: its id, the checks that need no caller, the one form of
//! failures, and panics. It does not know the routes.

use crate::app::App;
use crate::problem::{Code, Problem, is_asked_by_sdks};
use axum::Router;
use axum::body::Body;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tower::ServiceExt;

mod finished;

use finished::Finished;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const REQUEST_ID_CHARS_MAX: usize = 128;

/// Anybody may ask whether the server is well, by whatever name a probe uses.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Read by the official OpenAI SDKs, which else repeat every 409 and 5xx, also where that cannot help.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const EXPOSED: &str =
    "x-request-id, content-location, retry-after, www-authenticate, x-should-retry";
const ALLOWED_METHODS: &str = "GET, POST, PATCH, DELETE";
/// Those of the last two lines are sent by the official OpenAI SDKs, also from pages.
const ALLOWED_HEADERS: &str = "authorization, content-type, idempotency-key, last-event-id, \
    x-api-key, x-request-id, openai-organization, openai-project, x-stainless-arch, \
    x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version, \
    x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, \
    x-stainless-timeout, x-stainless-poll-helper, x-stainless-custom-poll-interval";

/// The whole HTTP surface as one function from request to answer.
pub struct Front {
    app: App,
    router: Router,
}

impl Front {
    pub fn new(app: App) -> Self {
        Self {
            router: crate::router::router(app.clone()),
            app,
        }
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    /// Answers one request; never fails.
    pub async fn answer(&self, mut request: Request<Body>) -> Response {
        let begun = Instant::now();
        let id = self.request_id(request.headers());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let method = request.method().clone();
        let mut by_sdk = false;
        let (mut response, path) = match self.check(&request) {
            Err(problem) => (problem.into_response(), None),
            Ok(()) if is_preflight(&request) => (StatusCode::NO_CONTENT.into_response(), None),
            Ok(()) => {
                trim_slashes(request.uri_mut());
                by_sdk = is_asked_by_sdks(request.uri().path());
                let path = tracing::enabled!(tracing::Level::DEBUG)
                    .then(|| request.uri().path().to_owned());
                (self.handle(request).await, path)
            }
        };
        self.finish(&mut response, id, origin, by_sdk);
        let request_id = response.headers().get(X_REQUEST_ID);
        tracing::debug!(
            request.id = request_id.and_then(|id| id.to_str().ok()),
            http.method = %method,
            http.path = path,
            http.status = response.status().as_u16(),
            duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        response
    }

    async fn handle(&self, request: Request<Body>) -> Response {
        let is_safe = request.method().is_safe();
        let handled = self.router.clone().oneshot(request);
        let handled = AssertUnwindSafe(handled).catch_unwind();
        let outcome = if is_safe {
            handled.await.ok()
        } else {
            // A client that goes away takes this future with it. What it began must come to its end all the same: a run
            // that is committed but never set going would wait for a worker that believes to have it.
            Finished::new(handled, &self.app.tasks).await.ok()
        };
        match outcome {
            Some(Ok(response)) => response,
            Some(Err(never)) => match never {},
            None => {
                tracing::error!("a handler panicked");
                Problem::new(Code::internal_error).into_response()
            }
        }
    }

    /// The caller's own id if it is a sane token, which can be logged and sent back as it is; else a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
        };
        match headers.get(X_REQUEST_ID).filter(sane) {
            Some(value) => value.clone(),
            None => HeaderValue::from_str(&self.app.clock.uuid().to_string())
                .expect("a uuid's text is a header's value"),
        }
    }

    /// What must be true of a request before anything of it is used.
    fn check(&self, request: &Request<Body>) -> Result<(), Problem> {
        let headers = request.headers();
        let settings = &self.app.settings;
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let line = request
            .uri()
            .path_and_query()
            .map_or(0, |it| it.as_str().len());
        if headers.len() > settings.headers_max || bytes + line > settings.header_bytes_max {
            return Err(Problem::new(Code::headers_too_large));
        }
        if headers.contains_key(header::CONTENT_LENGTH)
            && headers.contains_key(header::TRANSFER_ENCODING)
        {
            // A proxy before us may have believed the other one (RFC 9112 §6.1).
            let message = "Content-Length and Transfer-Encoding exclude each other.";
            return Err(Problem::saying(Code::bad_request, message));
        }
        let host = host(request)?;
        if PROBES.contains(&request.uri().path()) {
            return Ok(());
        }
        if !self.app.hosts.allows(host) {
            return Err(Problem::new(Code::host_not_allowed));
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or_default();
        if self.app.hosts.allows_origin(origin, host) {
            Ok(())
        } else {
            Err(Problem::new(Code::origin_not_allowed))
        }
    }

    fn finish(
        &self,
        response: &mut Response,
        id: HeaderValue,
        origin: Option<HeaderValue>,
        by_sdk: bool,
    ) {
        let status = response.status();
        let mut problem = response.extensions_mut().remove::<Problem>();
        if problem.is_none() && (status.is_client_error() || status.is_server_error()) {
            problem = Some(Problem::new(stray(status)));
        }
        if let Some(problem) = problem {
            let text = id.to_str().expect("made of visible characters above");
            tell(&problem, text);
            *response.body_mut() = Body::from(if by_sdk {
                problem.sdk_body(text)
            } else {
                problem.body(text)
            });
            *response.status_mut() = problem.code().status();
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.remove(header::CONTENT_LENGTH);
            let retry = if problem.is_retryable() {
                "true"
            } else {
                "false"
            };
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(retry));
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id);
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        let Some(origin) = origin else { return };
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if origin
            .to_str()
            .is_ok_and(|origin| self.app.hosts.is_configured(origin))
        {
            let fixed = [
                (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
                (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, "600"),
            ];
            for (name, value) in fixed {
                headers.insert(name, HeaderValue::from_static(value));
            }
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

/// The name that the request was sent to. One and the same wherever it stands, or a check of one could be passed by
/// another (RFC 9112 §3.2).
fn host(request: &Request<Body>) -> Result<&str, Problem> {
    let refused = || Problem::saying(Code::bad_request, "The request must name exactly one host.");
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| refused())?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(refused()),
    };
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    match (named, authority) {
        (Some(host), None) | (None, Some(host)) => Ok(host),
        (Some(host), Some(authority)) if host.eq_ignore_ascii_case(authority) => Ok(host),
        (Some(_), Some(_)) | (None, None) => Err(refused()),
    }
}

/// Only allowed origins get this far.
fn is_preflight(request: &Request<Body>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Routes have no trailing slash; a request may.
fn trim_slashes(uri: &mut Uri) {
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') {
        return;
    }
    let trimmed = path.trim_end_matches('/');
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let text = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    if let Ok(path_and_query) = text.parse::<PathAndQuery>() {
        parts.path_and_query = Some(path_and_query);
        if let Ok(trimmed) = Uri::from_parts(parts) {
            *uri = trimmed;
        }
    }
}

/// For a failure that did not come from our handlers.
fn stray(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::route_not_found,
        StatusCode::METHOD_NOT_ALLOWED => Code::method_not_allowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::body_too_large,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::unsupported_media_type,
        other if other.is_client_error() => Code::bad_request,
        _ => Code::internal_error,
    }
}

/// The cause, once, where it is turned into an answer.
fn tell(problem: &Problem, request_id: &str) {
    let code = problem.code().as_str();
    let error = problem
        .source()
        .map(|source| source as &(dyn Error + 'static));
    if problem.code().status().is_server_error() {
        tracing::error!(
            request.id = request_id,
            code,
            error,
            "a request failed here"
        );
    } else {
        tracing::debug!(
            request.id = request_id,
            code,
            error,
            "a request was refused"
        );
    }
}
