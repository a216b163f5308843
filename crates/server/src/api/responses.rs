//! Inference turns of sessions, in the form of OpenAI's Responses API.

use super::Id;
use crate::app::App;
use crate::body;
use crate::caller::{Caller, UsesSession};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::problem::{Code, Problem};
use crate::sse::{self, ResponseStream, Stream};
use crate::wire::responses::stream::Writer;
use crate::wire::responses::{CreateResponse, Echo, InvalidItem, Response as Shown, ToolExecution};
use axum::extract::State;
use axum::response::Response;
use domain::RunId;
use domain::response::ResponseId;
use engine::{InferEvent, InferRequest, Inference};
use futures::StreamExt;
use std::str::FromStr;

/// Make an inference turn
///
/// For clients whose device cannot run the model. The turn continues from `previous_response_id`; two turns may continue
/// from one response. Calls of the session's tools come back as `function_call` items for the client to execute; with
/// `"tool_execution": "server"` they are run here and shown as `mcp_call` items, and one that a person must approve ends
/// the response with an `mcp_approval_request`: ask again with its id as `previous_response_id` and an empty `input`. The
/// official OpenAI SDKs call this with `…/sessions/{session_id}` as base URL and the session's token as key.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/inference",
    operation_id = "create_response",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = CreateResponse,
    responses(
        (status = 200, description = "The response; with `stream: true` its events.", content((Shown = "application/json"), (Shown = "text/event-stream"))),
        (status = 409, description = "`model_mismatch`; `budget_exhausted`; `run_already_terminal`: the session is over.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("session")))
)]
pub async fn create_response(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    repeat: RepeatKey,
    body: body::Json<CreateResponse>,
) -> Result<Response, Problem> {
    caller.check_session(id)?;
    // Each session counts its keys alone: two devices may well both begin at 1.
    let key = repeat.of(&format!("create_response {id}"), &body.bytes);
    let create = body.value;
    // The same request again finds what was made of it, also after a crash in the middle.
    let repeatable = key
        .as_ref()
        .map(|key| ResponseId::repeatable(id, &key.key, &key.body_digest));
    if create.stream.unwrap_or(false) {
        let resource = repeatable.map_or_else(|| app.clock.uuid(), ResponseId::uuid);
        let begin = begin(&app, &caller, id, create, repeatable);
        let (begun, shown) = idempotency::joined(&app, &caller.scope, key, resource, begin).await?;
        let source = ResponseStream::new(begun.events, Writer::new(shown, begun.message_id));
        let stream = Stream::new(source, app.settings.heartbeat, caller.revoked());
        return Ok(sse::response(stream));
    }
    let turn = async {
        let (begun, shown) = begin(&app, &caller, id, create, repeatable).await?;
        whole(begun, shown).await
    };
    idempotency::once(&app, &caller.scope, key, turn).await
}

/// The same under the path that the OpenAI SDKs add to their base URL.
pub async fn create_response_alias(
    caller: Caller<UsesSession>,
    state: State<App>,
    id: Id<RunId>,
    repeat: RepeatKey,
    body: body::Json<CreateResponse>,
) -> Result<Response, Problem> {
    create_response(caller, state, id, repeat, body).await
}

async fn begin(
    app: &App,
    caller: &Caller<UsesSession>,
    id: RunId,
    create: CreateResponse,
    repeatable: Option<ResponseId>,
) -> Result<(Inference, Shown), Problem> {
    let session = app.engine.open_session(&caller.scope, id).await?;
    create.check().map_err(item)?;
    let input = create
        .messages(id, app.clock.now(), || app.clock.uuid())
        .map_err(item)?;
    let tools = create.tool_names().map_err(item)?;
    let previous = match &create.previous_response_id {
        Some(text) => {
            let previous = ResponseId::from_str(text);
            Some(previous.map_err(|_| Problem::new(Code::previous_response_not_found))?)
        }
        None => None,
    };
    let echo = Echo {
        model: session.request.model.clone().unwrap_or_default(),
        previous,
        max_output_tokens: create.max_output_tokens,
        temperature: create.temperature,
        tool_choice: if create.offers_no_tool() {
            "none"
        } else {
            "auto"
        },
        metadata: create.metadata.unwrap_or_default(),
        tools: create.tools.unwrap_or_default(),
    };
    let request = InferRequest {
        id: repeatable,
        whole: !create.stream.unwrap_or(false),
        runs_tools: create.tool_execution == ToolExecution::Server,
        model: create.model,
        input,
        previous,
        tools,
        max_output_tokens: create.max_output_tokens,
        temperature: create.temperature,
    };
    let begun = app.engine.infer(&caller.scope, id, request).await?;
    let shown = Shown::begun(begun.id, begun.started_at, echo);
    Ok((begun, shown))
}

async fn whole(mut begun: Inference, shown: Shown) -> Result<Reply<Shown>, Problem> {
    let mut writer = Writer::quiet(shown, begun.message_id);
    while let Some(event) = begun.events.next().await {
        // The same request goes on with what stopped here.
        let stopped = matches!(event, InferEvent::Stopped(_));
        if writer.write(event, &mut Vec::new()) {
            let shown = writer.into_response();
            return Ok(if stopped {
                Reply::Unkept(shown)
            } else {
                Reply::Whole(shown)
            });
        }
    }
    Err(Problem::new(Code::internal_error))
}

fn item(invalid: InvalidItem) -> Problem {
    Problem::field(&invalid.path, invalid.message)
}
