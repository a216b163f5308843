//! A run's events from a cursor on.

use super::{Id, Params};
use crate::app::App;
use crate::caller::{Caller, Reads, Revocation};
use crate::problem::{Code, Problem};
use crate::sse::{self, Disconnect, RunStream, Stream};
use crate::wire::events::Event;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use domain::seeded::Seeded;
use domain::{OrgScope, RunId};
use futures::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamEvents {
    /// Events above this number only. `Last-Event-ID` goes before it.
    #[param(value_type = Option<u64>, example = 12)]
    after: Option<String>,
    /// False: what is there now, and no more.
    #[param(default = true)]
    follow: Option<bool>,
}

/// Follow a run's events
///
/// Everything after the cursor, then live until `done`. The same bytes as the first stream, for as long as the run is
/// kept.
#[utoipa::path(
    get,
    path = "/api/v1/agents/runs/{run_id}/events",
    operation_id = "stream_run_events",
    tag = "runs",
    params(
        ("run_id" = String, Path, description = "The run's id."),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event's `id` that was received."),
        StreamEvents
    ),
    responses((status = 200, description = "The events.", content_type = "text/event-stream", body = Event)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn stream_run_events(
    caller: Caller<Reads>,
    State(app): State<App>,
    Id(run): Id<RunId>,
    Params(query): Params<StreamEvents>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = cursor(&headers, query.after.as_deref())?;
    let found = app.store.get_run(&caller.scope, run).await?;
    found.ok_or_else(|| Problem::new(Code::not_found))?;
    let follow = query.follow.unwrap_or(true);
    let nothing = Disconnect::Nothing;
    let revoked = caller.revoked();
    Ok(respond(
        &app,
        &caller.scope,
        revoked,
        run,
        after,
        follow,
        nothing,
    ))
}

/// The stream of a run that the org is known to have.
pub fn respond(
    app: &App,
    scope: &OrgScope,
    revoked: Revocation,
    run: RunId,
    after: u64,
    follow: bool,
    disconnect: Disconnect,
) -> Response {
    let events = app.engine.follow(scope, run, after, follow).boxed();
    let source = RunStream::new(app, scope, run, events, disconnect);
    let stream = Stream::new(source, app.settings.heartbeat, revoked);
    let mut response = sse::response(stream);
    response
        .headers_mut()
        .insert(header::CONTENT_LOCATION, super::runs::location(run));
    response
}

fn cursor(headers: &HeaderMap, after: Option<&str>) -> Result<u64, Problem> {
    let invalid = || Problem::new(Code::invalid_cursor);
    let last = match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(value.to_str().map_err(|_| invalid())?),
        None => None,
    };
    let counts = |text: &&str| !text.is_empty() && !Seeded::HeaderIgnored.is_on();
    match last.filter(counts).or(after) {
        None => Ok(0),
        // `parse` alone would take a plus sign.
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            let number: u64 = text.parse().map_err(|_| invalid())?;
            // Cursors are stored as signed numbers.
            i64::try_from(number).map(|_| number).map_err(|_| invalid())
        }
        Some(_) => Err(invalid()),
    }
}
