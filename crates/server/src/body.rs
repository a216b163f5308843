//! Bodies of requests: bounded, timed, strict JSON, and errors that say where. It does not know what the fields mean.

mod strict;

use crate::app::App;
use crate::problem::{Code, FieldError, Problem};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::str;

/// A body read and checked, and its bytes, which a repeated request is recognised by.
#[derive(Debug)]
pub struct Json<T> {
    pub value: T,
    pub bytes: Bytes,
}

/// The same where the body may be left away: then the value is that of `{}`.
#[derive(Debug)]
pub struct OptionalJson<T> {
    pub value: T,
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let bytes = read(request, app).await?;
        let value = parse_object(&bytes)?;
        Ok(Self { value, bytes })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let typed = check_content_type(request.headers());
        let bytes = read(request, app).await?;
        if bytes.is_empty() {
            let value = parse(b"{}")?;
            return Ok(Self { value, bytes });
        }
        typed?;
        let value = parse_object(&bytes)?;
        Ok(Self { value, bytes })
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Problem::new(Code::unsupported_media_type);
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        let message = "Compressed bodies are not accepted.";
        return Err(Problem::saying(Code::unsupported_media_type, message));
    }
    let value = headers.get(header::CONTENT_TYPE).ok_or_else(refused)?;
    let text = value.to_str().map_err(|_| refused())?;
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    let is_utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset")
            || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(refused())
    }
}

/// The whole body, refused by its declared length first and then while reading.
async fn read(request: Request, app: &App) -> Result<Bytes, Problem> {
    let max = app.settings.body_bytes_max;
    let too_large = || {
        let message = format!("The body is larger than {max} bytes.");
        Problem::saying(Code::body_too_large, message)
    };
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let reading = async {
        let mut chunks = request.into_body().into_data_stream();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Problem::new(Code::bad_request).because(error))?;
            if first.len() + rest.len() + chunk.len() > max {
                return Err(too_large());
            }
            if first.is_empty() {
                first = chunk;
            } else {
                rest.extend_from_slice(&chunk);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        Ok(whole.freeze())
    };
    match tokio::time::timeout(app.settings.body_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(Code::request_timeout)),
    }
}

/// Reads a strict JSON object into `T`. A list is refused here: serde would take it for a struct's fields in order.
fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{') | None => parse(bytes),
        Some(_) => {
            parse::<IgnoredAny>(bytes)?;
            Err(Problem::field("", "must be an object"))
        }
    }
}

/// Reads strict JSON into `T`.
///
/// # Errors
/// 400 for what is not JSON as this server takes it, 422 for what is not `T`, with the path.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = str::from_utf8(bytes).map_err(|_| Problem::new(Code::invalid_encoding))?;
    strict::check(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            Problem::fields(vec![field_error(path, &error)])
        } else {
            Problem::saying(
                Code::invalid_json,
                format!("The body is not valid JSON: {error}."),
            )
        }
    })
}

/// Reads a strict JSON object that stands as text at `path` of a body.
///
/// # Errors
/// 422, with the place inside the text where it can be told.
pub fn parse_within<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Problem> {
    parse_object(text.as_bytes()).map_err(|problem| problem.within(path))
}

/// A missing field is named by its own path, not by its parent's.
fn field_error(path: String, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default();
    let parent = if path == "." { "" } else { path.as_str() };
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(name) if parent.is_empty() => FieldError {
            path: name.to_owned(),
            message: "is required".to_owned(),
        },
        Some(name) => FieldError {
            path: format!("{parent}.{name}"),
            message: "is required".to_owned(),
        },
        None => FieldError {
            path: parent.to_owned(),
            message: message.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
