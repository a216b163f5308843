//! The project's documentation as pages under `/docs`, beside the reference of the API: the Markdown files of `docs/`,
//! embedded in the program (a debug build reads them from the source tree). It does not know what they say.

mod markdown;
mod page;

#[cfg(test)]
mod tests;

use crate::problem::{Code, Problem};
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};

/// `docs/`, whole: pages and the pictures that they show.
#[derive(Embed)]
#[folder = "../../docs"]
struct Files;

const STYLE: &str = include_str!("docs/page.css");

/// The page that stands at `/docs` itself.
const FIRST: &str = "index";

/// The list of error codes, made from their table.
const PROBLEMS: &str = "problems";

/// Pages in the order in which a newcomer needs them, under what they are about. Others stand at the end.
const SECTIONS: [(&str, &[&str]); 4] = [
    ("Begin", &[FIRST, "concepts", "console", "troubleshooting"]),
    (
        "Build",
        &[
            "agents",
            "tools",
            "policies",
            "approvals",
            "mcp",
            "sessions",
            "lanes",
            "dialects",
            "webhooks",
        ],
    ),
    (
        "Run",
        &[
            "configuration",
            "security",
            "audit",
            "cluster",
            "backup",
            "limits",
            "durability",
            "seeded-faults",
            "performance",
        ],
    ),
    (REFERENCE, &[]),
];
const REFERENCE: &str = "Reference";

/// Nothing is inline and nothing comes from elsewhere; there is no script at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The first page.
pub fn first() -> Response {
    page(FIRST)
}

/// A page by its path below `/docs`, a picture, or the pages' looks.
pub async fn get_page(Path(path): Path<String>) -> Response {
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    if !path.split('/').all(is_plain) {
        return missing();
    }
    if path == "page.css" {
        return respond("text/css; charset=utf-8", STYLE);
    }
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        None if path == PROBLEMS => whole(PROBLEMS, &page::problems()),
        None => page(&path),
        Some(ending) => picture(&path, ending),
    }
}

fn missing() -> Response {
    Problem::new(Code::route_not_found).into_response()
}

fn page(name: &str) -> Response {
    match source(name) {
        Some(text) => whole(name, &text),
        None => missing(),
    }
}

fn whole(name: &str, text: &str) -> Response {
    respond("text/html; charset=utf-8", page::page(name, text))
}

fn picture(path: &str, ending: &str) -> Response {
    let kind = match ending {
        "png" => "image/png",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        _ => return missing(),
    };
    match Files::get(path) {
        Some(EmbeddedFile { data, .. }) => respond(kind, data.into_owned()),
        None => missing(),
    }
}

fn respond(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The Markdown of a page.
fn source(name: &str) -> Option<String> {
    let file = Files::get(&format!("{name}.md"))?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// Every page's name, such as `agents` or `problems/not_found`, sorted.
fn names() -> Vec<String> {
    let mut names: Vec<String> = Files::iter()
        .filter_map(|path| path.strip_suffix(".md").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names
}
