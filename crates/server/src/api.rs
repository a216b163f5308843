//! Handlers by resource: take apart, call one verb, wrap the result. What is common to their arguments is here.

pub mod agents;
pub mod approvals;
pub mod audit;
pub mod docs;
pub mod events;
pub mod gates;
pub mod grants;
pub mod health;
pub mod keys;
pub mod lanes;
pub mod metrics;
pub mod responses;
pub mod results;
pub mod runs;
pub mod sessions;
pub mod threads;
pub mod usage;
pub mod whoami;

use crate::problem::{Code, Problem};
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The one id in the path. What is not an id of its kind is answered like one that does not exist.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<S, T> FromRequestParts<S> for Id<T>
where
    S: Send + Sync,
    T: FromStr,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = || Problem::new(Code::not_found);
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| missing())?;
        let (_, text) = params.iter().next().ok_or_else(missing)?;
        text.parse().map(Self).map_err(|_| missing())
    }
}

/// The query's parameters; unknown ones are ignored.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S, T> FromRequestParts<S> for Params<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let (_, why) = text.split_once(": ").unwrap_or(("", &text));
                let message = format!("The query cannot be used: {why}.");
                Err(Problem::saying(Code::invalid_parameter, message))
            }
        }
    }
}

/// What a caller may not leave blank or stretch without end.
fn check_text(path: &str, text: Option<&str>, chars_max: usize) -> Result<(), Problem> {
    match text {
        Some(text) if text.chars().count() > chars_max => Err(Problem::field(
            path,
            format!("must be at most {chars_max} characters"),
        )),
        Some(_) | None => Ok(()),
    }
}
