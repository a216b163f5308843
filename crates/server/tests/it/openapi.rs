use crate::operations;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json")
}

/// With `UPDATE_OPENAPI=1` in the environment the file is written instead.
#[test]
fn document_is_the_committed_one() {
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(committed(), server::openapi::text()).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(
        committed == server::openapi::text(),
        "the API changed; `UPDATE_OPENAPI=1 cargo test -p server --test it document_is_the_committed_one` writes \
         crates/server/openapi.json"
    );
}

#[test]
fn operations_are_named_and_complete() {
    const VERBS: [&str; 14] = [
        "get", "list", "create", "update", "delete", "cancel", "resolve", "revoke", "stream",
        "execute", "complete", "explain", "overrule", "fork",
    ];
    let document = server::openapi::document();
    let mut ids = BTreeSet::new();
    for operation in operations::all() {
        let (verb, _) = operation.id.split_once('_').expect("<verb>_<resource>");
        assert!(VERBS.contains(&verb), "{}", operation.id);
        assert!(ids.insert(operation.id.clone()), "twice: {}", operation.id);
        let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
        assert!(described["summary"].is_string(), "{}", operation.id);
        let responses = described["responses"].as_object().expect("responses");
        for (status, response) in responses {
            let id = &operation.id;
            let response = resolve(&document, response);
            assert!(
                response["headers"]["X-Request-Id"].is_object(),
                "{id} {status}"
            );
            let content = response["content"]
                .as_object()
                .unwrap_or_else(|| panic!("{id} {status}"));
            for media in content.values() {
                assert!(media["schema"].is_object(), "{id} {status}");
            }
        }
        let has = |status: &str| responses.contains_key(status);
        assert!(has("200") && has("500") && has("503"), "{}", operation.id);
        assert_eq!(has("401"), operation.role.is_some(), "{}", operation.id);
        assert_eq!(has("404"), operation.has_ids(), "{}", operation.id);
        assert_eq!(
            has("422") && has("413"),
            operation.has_body,
            "{}",
            operation.id
        );
        let key = described["parameters"].as_array().into_iter().flatten();
        let key = key
            .filter(|it| resolve(&document, it)["name"] == "Idempotency-Key")
            .count();
        assert_eq!(key == 1, operation.method == "POST", "{}", operation.id);
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(&reference[1..])
            .expect("it leads somewhere"),
        None => value,
    }
}

#[test]
fn references_lead_somewhere() {
    fn walk(value: &Value, document: &Value, seen: &mut usize) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("inside the document");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    *seen += 1;
                }
                map.values().for_each(|value| walk(value, document, seen));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document, seen)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = server::openapi::document();
    let mut seen = 0;
    walk(&document, &document, &mut seen);
    assert!(seen > 100, "{seen}");
}
