//! Whether an answer is one that the OpenAPI document tells of: its status, its content type, and its body. Every answer
//! that a test here gets is looked at, so what a test provokes is documented or fails it.

use axum::http::{HeaderMap, Method};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

static DOCUMENT: LazyLock<Value> = LazyLock::new(server::openapi::document);

/// By the place of the schema in the document; each takes a while to compile.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// What the document says of answers to one request.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Its operation, for messages.
    id: String,
    /// The operation's place in the document.
    pointer: String,
}

/// `None` where the document has no such operation.
pub fn expected(method: &Method, path: &str) -> Option<Expected> {
    let method = method.as_str().to_lowercase();
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &&String| fits(template, path);
    // A path without slots wins, as it does in the router.
    let template = paths
        .keys()
        .filter(fits)
        .min_by_key(|template| template.matches('{').count())?;
    let operation = paths[template].get(&method)?;
    let escaped = template.replace('~', "~0").replace('/', "~1");
    Some(Expected {
        id: operation["operationId"].as_str()?.to_owned(),
        pointer: format!("/paths/{escaped}/{method}"),
    })
}

fn fits(template: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let (template, path) = (template.split('/'), path.split('/'));
    let fit = |(slot, part): (&str, &str)| match slot.starts_with('{') {
        true => !part.is_empty(),
        false => slot == part,
    };
    template.clone().count() == path.clone().count() && template.zip(path).all(fit)
}

impl Expected {
    /// An answer as a whole.
    #[track_caller]
    pub fn check(&self, status: u16, headers: &HeaderMap, body: &[u8]) {
        let media = self.check_head(status, headers);
        if media != "application/json" {
            return;
        }
        let body = serde_json::from_slice(body);
        let body = body.unwrap_or_else(|error| panic!("{} {status}: {error}", self.id));
        self.check_value(status, &media, &body);
    }

    /// Status and content type; answers with the latter.
    #[track_caller]
    pub fn check_head(&self, status: u16, headers: &HeaderMap) -> String {
        let id = &self.id;
        let media = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        let media = media
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        let response = DOCUMENT.pointer(&self.response(status));
        let response = response.unwrap_or_else(|| panic!("{id}: {status} is not documented"));
        assert!(
            response["content"].get(media).is_some(),
            "{id} {status}: {media:?} is not documented"
        );
        media.to_owned()
    }

    /// A body, or the data of one event of a stream.
    #[track_caller]
    pub fn check_value(&self, status: u16, media: &str, value: &Value) {
        let media = media.replace('/', "~1");
        let pointer = format!("{}/content/{media}/schema", self.response(status));
        let validator = validator(&pointer);
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            errors.is_empty(),
            "{} {status}: {value} is not as documented: {errors:?}",
            self.id
        );
    }

    /// Where a response of this status is described, references followed.
    fn response(&self, status: u16) -> String {
        let pointer = format!("{}/responses/{status}", self.pointer);
        let reference = DOCUMENT
            .pointer(&pointer)
            .and_then(|response| response["$ref"].as_str());
        reference.map_or(pointer, |reference| reference[1..].to_owned())
    }
}

fn validator(pointer: &str) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().expect("no panic under this lock");
    if let Some(known) = validators.get(pointer) {
        return known.clone();
    }
    let mut schema = DOCUMENT.pointer(pointer).expect("it is there").clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::validator_for(&schema);
    let validator = Arc::new(validator.expect("the document's schemas are schemas"));
    validators.insert(pointer.to_owned(), validator.clone());
    validator
}

#[test]
fn what_is_not_documented_is_found() {
    let list = expected(&Method::GET, "/api/v1/agents/threads/").expect("it is an operation");
    assert_eq!(list.id, "list_threads");
    let json = HeaderMap::from_iter([(
        "content-type".parse().expect("a name"),
        "application/json".parse().expect("a value"),
    )]);
    list.check(200, &json, br#"{"threads": [], "next_cursor": null}"#);
    for (status, headers, body) in [
        (200, &json, &br#"{"threads": 1, "next_cursor": null}"#[..]),
        (200, &json, br#"{"#),
        (418, &json, br#"{"threads": [], "next_cursor": null}"#),
        (200, &HeaderMap::new(), b""),
    ] {
        let list = list.clone();
        let checked = std::panic::catch_unwind(|| list.check(status, headers, body));
        assert!(
            checked.is_err(),
            "{status} {}",
            String::from_utf8_lossy(body)
        );
    }
    let stream = expected(&Method::GET, "/api/v1/agents/approvals/stream");
    assert_eq!(stream.expect("it is an operation").id, "stream_approvals");
    assert!(expected(&Method::GET, "/api/v1/agents/nowhere").is_none());
    assert!(expected(&Method::PUT, "/api/v1/agents/threads").is_none());
}
