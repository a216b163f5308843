//! The API's own description: the OpenAPI document, the page that shows it, and a pointer for those who come by.

use crate::console;
use crate::openapi;
use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// One file with everything in it: nothing is fetched but the document.
const PAGE: &str = include_str!("../openapi/docs.html");
const SCRIPT: &str = include_str!("../openapi/docs.js");
const STYLE: &str = include_str!("../openapi/docs.css");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Serialize, ToSchema)]
pub struct Pointer {
    #[schema(example = "runyard")]
    name: &'static str,
    version: &'static str,
    #[schema(example = "/api/v1/agents")]
    api: &'static str,
    #[schema(example = "/docs")]
    docs: &'static str,
    #[schema(example = "/openapi.json")]
    openapi: &'static str,
}

/// What is here?
///
/// A browser gets the console, a program this pointer.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_pointer",
    tag = "server",
    responses((status = 200, description = "Where things are.", body = Pointer)),
    security(())
)]
pub async fn get_pointer(headers: HeaderMap) -> Response {
    if console::is_wanted(&headers) {
        return console::page(headers).await;
    }
    let pointer = Pointer {
        name: "runyard",
        version: env!("CARGO_PKG_VERSION"),
        api: "/api/v1/agents",
        docs: "/docs",
        openapi: "/openapi.json",
    };
    ([(header::VARY, "accept")], Json(pointer)).into_response()
}

/// The OpenAPI document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "server",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object)),
    security(())
)]
pub async fn get_openapi() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, openapi::text()).into_response()
}

/// The documentation as pages
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "get_docs",
    tag = "server",
    responses((status = 200, description = "Where it begins; its pages are below.", content_type = "text/html", body = String)),
    security(())
)]
pub async fn get_docs() -> Response {
    crate::docs::first()
}

/// The API reference as a page
#[utoipa::path(
    get,
    path = "/docs/api",
    operation_id = "get_reference",
    tag = "server",
    responses((status = 200, description = "A page that needs nothing from elsewhere.", content_type = "text/html", body = String)),
    security(())
)]
pub async fn get_reference() -> Response {
    asset("text/html; charset=utf-8", PAGE)
}

/// The page's script.
pub async fn get_docs_script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// The page's looks.
pub async fn get_docs_style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
