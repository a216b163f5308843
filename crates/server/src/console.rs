//! The console: the files that the build of `console/` made, embedded in the program (a debug build reads them from the
//! source tree). It knows its own paths only; whatever else is asked for is the API's to answer.

pub mod tickets;

#[cfg(test)]
mod tests;

use crate::problem::{Code, Problem};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use rust_embed::{Embed, EmbeddedFile};
use tower_http::compression::CompressionLayer;

/// `console/dist` is committed, so that building the program needs no Node.
#[derive(Embed)]
#[folder = "../../console/dist"]
struct Files;

const PAGE: &str = "index.html";

/// First parts of paths at which the page shows something; `src/routes.ts` of the console has the same list.
const PAGES: [&str; 10] = [
    "threads",
    "runs",
    "approvals",
    "agents",
    "sessions",
    "lanes",
    "usage",
    "keys",
    "grants",
    "audit",
];

/// Everything comes from here and nothing is inline. The page makes its elements from one named policy, so that no other
/// code can turn text into elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// The names of hashed files change with their contents.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// The console's routes, below `/console`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/console", get(page))
        .route("/console/{*path}", get(file))
        .layer(CompressionLayer::new())
}

/// True if the request is a browser's for a page, and not a program's.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// The page, at whichever of its paths.
pub async fn page(headers: HeaderMap) -> Response {
    match Files::get(PAGE) {
        Some(found) => respond(PAGE, found, &headers),
        None => {
            let message =
                "The console is not built here: run `npm ci && npm run build` in console/.";
            Problem::saying(Code::route_not_found, message).into_response()
        }
    }
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    // A debug build looks on disk, where such a path would lead elsewhere.
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    if !path.split('/').all(is_plain) {
        return Problem::new(Code::route_not_found).into_response();
    }
    if let Some(found) = Files::get(&path) {
        return respond(&path, found, &headers);
    }
    let first = path.split('/').next().unwrap_or_default();
    if PAGES.contains(&first) {
        return page(headers).await;
    }
    Problem::new(Code::route_not_found).into_response()
}

fn respond(path: &str, found: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = tag(&found.metadata.sha256_hash());
    let cache = if path.starts_with("assets/") {
        FOREVER
    } else {
        ASK_AGAIN
    };
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = [(header::CONTENT_TYPE, kind(path))];
        (kind, Body::from(found.data)).into_response()
    };
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, cache);
    own.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    own.insert(header::VARY, HeaderValue::from_static("accept"));
    own.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    own.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    own.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        own.insert(header::ETAG, tag);
    }
    response
}

/// Weak, because the same file goes out compressed and plain (RFC 9110 §8.8.1).
fn tag(hash: &[u8; 32]) -> String {
    format!("W/\"{}\"", HEXLOWER.encode(&hash[..16]))
}

/// True if the client has this very file (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known == tag)
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
