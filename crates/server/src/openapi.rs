//! The OpenAPI document: what the handlers say of themselves, and what is true of all of them, said once here.

use crate::problem::{self, Code};
use crate::router;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Runyard",
        description = "A self-hosted server for AI agents. Durable runs, streamed as they happen; tools behind \
                       policies; approvals by people.\n\nEvery failure has one form, `Problem`, whose `code` is stable. \
                       Every answer carries `X-Request-Id`. Trailing slashes are accepted; nothing redirects.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "agents", description = "What the registry offers."),
        (name = "threads", description = "Conversations with one agent each."),
        (name = "runs", description = "Pieces of work on a thread, and their events."),
        (name = "sessions", description = "Work whose model runs with the client, and turns that the server makes for it."),
        (name = "lanes", description = "Where models run, and which of them serves a turn."),
        (name = "approvals", description = "Decisions that runs wait for."),
        (name = "usage", description = "What runs used over time."),
        (name = "audit", description = "Who decided what."),
        (name = "keys", description = "Who may call, and what they may do."),
        (name = "server", description = "The server itself; no key is needed.")
    ),
    components(schemas(problem::Body))
)]
struct Info;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).expect("a document is JSON");
    text.push('\n');
    text
});

/// The document as it is served and as it lies in the repository.
pub fn text() -> &'static str {
    &TEXT
}

/// The whole document.
pub fn document() -> Value {
    let mut described: Document = Info::openapi();
    described.merge(router::documented().into_openapi());
    let mut document = serde_json::to_value(described).expect("a document is JSON");
    describe_keys(&mut document);
    describe_codes(&mut document);
    describe_failures(&mut document);
    describe_response_events(&mut document);
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                complete(path, method, operation);
            }
        }
    }
    // The order of keys depends on a feature that any crate of a build may turn on; the document's must not.
    document.sort_all_objects();
    document
}

fn describe_keys(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key. `x-role` of an operation is the least role that may call it: viewer, approver, \
                            developer, owner; session: also the session's own token.",
        },
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    });
    document["security"] = json!([{"bearer": []}, {"header": []}]);
}

fn describe_codes(document: &mut Value) {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let lines: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            format!(
                "- `{}` ({}): {}",
                code.as_str(),
                code.status().as_u16(),
                code.title()
            )
        })
        .collect();
    let code = &mut document["components"]["schemas"]["Problem"]["properties"]["code"];
    code["description"] = json!(format!(
        "What exactly happened; stable.\n\n{}",
        lines.join("\n")
    ));
    code["x-codes"] = json!(codes);
}

/// Failures that more than one operation may answer with, described once.
const FAILURES: [(u16, &str); 12] = [
    (
        400,
        "`bad_request`, `invalid_parameter`, `invalid_cursor` and others: the request itself is wrong.",
    ),
    (401, "`missing_key`, `invalid_key`."),
    (
        403,
        "`role_forbidden`, `host_not_allowed`, `origin_not_allowed`.",
    ),
    (404, "`not_found`: unknown, malformed or another org's id."),
    (408, "`request_timeout`."),
    (409, "`idempotency_in_progress`."),
    (413, "`body_too_large`."),
    (415, "`unsupported_media_type`."),
    (
        422,
        "`validation_error` and others: a value of the body cannot be used; `errors` says which.",
    ),
    (
        429,
        "`rate_limited`, `too_many_failed_logins`, `thread_queue_full`; `Retry-After` says when to come again.",
    ),
    (431, "`headers_too_large`."),
    (500, "`internal_error`."),
];
const UNAVAILABLE: (u16, &str) = (
    503,
    "`store_unavailable`, `storage_full`, `outcome_unknown`, `shutting_down`.",
);

fn describe_failures(document: &mut Value) {
    let mut responses = Map::new();
    for (status, description) in FAILURES.into_iter().chain([UNAVAILABLE]) {
        let mut response = json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        add_headers(status, &mut response);
        responses.insert(format!("Problem{status}"), response);
    }
    document["components"]["responses"] = Value::Object(responses);
    document["components"]["parameters"] = json!({"IdempotencyKey": idempotency_key()});
}

/// The events are OpenAI's, with more forms than are worth repeating: what all of them have is said here.
fn describe_response_events(document: &mut Value) {
    document["components"]["schemas"]["ResponseEvent"] = json!({
        "type": "object",
        "description": "One event of OpenAI's Responses stream.",
        "properties": {
            "type": {"type": "string", "example": "response.output_text.delta"},
            "sequence_number": {"type": "integer", "minimum": 0},
            "response": {"$ref": "#/components/schemas/Response"},
        },
        "required": ["type", "sequence_number"],
    });
    let place = "/paths/~1api~1v1~1agents~1sessions~1{session_id}~1inference/post/responses/200/content/text~1event-stream";
    if let Some(media) = document.pointer_mut(place) {
        media["schema"] = json!({"$ref": "#/components/schemas/ResponseEvent"});
    }
}

/// What holds for every operation of its kind.
fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let mut statuses = vec![400, 403, 431, 500, 503];
    if !operation.contains_key("security") {
        statuses.extend([401, 429]);
    }
    if path.contains('{') {
        statuses.push(404);
    }
    if operation.contains_key("requestBody") {
        statuses.extend([408, 413, 415, 422]);
    }
    if method == "post" {
        statuses.push(409);
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else {
        return;
    };
    for (status, response) in responses.iter_mut() {
        add_headers(status.parse().unwrap_or(200), response);
    }
    for status in statuses {
        let shared = json!({"$ref": format!("#/components/responses/Problem{status}")});
        responses.entry(status.to_string()).or_insert(shared);
    }
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "The same key and request again gives the first answer again, for 24 hours; with another request \
                        it is refused. A failed request leaves no trace of its key.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "order-A-1001-refund",
    })
}

fn add_headers(status: u16, response: &mut Value) {
    let text =
        |description: &str| json!({"description": description, "schema": {"type": "string"}});
    response["headers"]["X-Request-Id"] = text(
        "The request's id: the one sent in, if it is 1 to 128 of A-Z, a-z, 0-9, `.`, `_` and `-`.",
    );
    if matches!(status, 429 | 503) {
        let seconds = json!({"description": "Seconds to wait.", "schema": {"type": "integer"}});
        response["headers"]["Retry-After"] = seconds;
    }
    if status == 401 {
        response["headers"]["WWW-Authenticate"] = text("`Bearer`.");
    }
}
