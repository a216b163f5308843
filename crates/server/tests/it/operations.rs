//! Every operation of the OpenAPI document, and how to fill its slots. What is not classified here fails.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    /// The least role that may call it; `None` if it needs no key.
    pub role: Option<String>,
    pub has_body: bool,
    pub queries: Vec<String>,
}

/// Ids of one org's things.
#[derive(Debug, Clone)]
pub struct Ids {
    pub thread: String,
    pub run: String,
    pub session: String,
    pub approval: String,
    pub key: String,
    pub grant: String,
}

pub fn all() -> Vec<Operation> {
    let document = server::openapi::document();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let queries = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
                .collect();
            let open = operation.get("security").is_some();
            let role = operation["x-role"].as_str().map(str::to_owned);
            assert_eq!(
                open,
                role.is_none(),
                "{method} {path} must say who may call it"
            );
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                role,
                has_body: operation.get("requestBody").is_some(),
                queries,
            });
        }
    }
    assert!(operations.len() > 15, "{operations:?}");
    operations
}

impl Operation {
    pub fn has_ids(&self) -> bool {
        self.path.contains('{')
    }

    /// The path with ids in its slots, and a query that lets streams end.
    pub fn path_with(&self, ids: &Ids) -> String {
        let mut path = String::new();
        for segment in self.path.split('/').skip(1) {
            let value = match segment {
                "{thread_id}" => &ids.thread,
                "{run_id}" => &ids.run,
                "{session_id}" => &ids.session,
                "{approval_id}" => &ids.approval,
                "{key_id}" => &ids.key,
                // Its own test has real ones.
                "{result_id}" => &ids.run,
                "{grant_id}" => &ids.grant,
                other if other.starts_with('{') => panic!("{}: what goes into {other}?", self.id),
                other => other,
            };
            path.push('/');
            path.push_str(value);
        }
        if self.queries.iter().any(|name| name == "follow") {
            path.push_str("?follow=false");
        }
        path
    }

    /// A body that would be taken.
    pub fn body(&self) -> Option<Value> {
        if !self.has_body {
            return None;
        }
        Some(match self.id.as_str() {
            "create_thread" => json!({"agent_type": "helper"}),
            "fork_thread" => json!({"title": "taken over"}),
            "update_thread" => json!({"title": "taken over"}),
            "create_run" => json!({"input": "hi", "stream": false}),
            "cancel_run" => json!({"reason": "taken over"}),
            "resolve_approval" => json!({"decision": "deny"}),
            "create_session" => json!({"agent_type": "clerk", "query": "hi", "context": {}}),
            "create_session_token" => json!({"ttl_s": 60}),
            "update_session_lane" => json!({"kind": "device"}),
            "execute_tool" => json!({"tool_name": "look", "arguments": {}, "tool_call_id": "c"}),
            "create_response" => json!({"model": "tiny", "input": "hi"}),
            "create_steps" => json!({"entries": [{
                "seq": 1,
                "prev": "0".repeat(64),
                "hash": "31ba5bd99941a97796523901a1a80983d303a2d3f54d620c9093ff18f3a5d161",
                "entry": r#"{"kind":"model_turn","name":"tiny","started_at":"2026-01-31T12:00:00Z","completed_at":"2026-01-31T12:00:02Z"}"#,
            }]}),
            "complete_session" => {
                json!({"summary": "taken over", "confidence": null, "evidence": [], "next_steps": []})
            }
            "overrule_gate" => json!({"label": "allow"}),
            "explain_lanes" => json!({"agent_type": "helper"}),
            "create_key" => json!({"name": "taken over", "role": "viewer"}),
            other => panic!("{other}: what is a good body?"),
        })
    }
}
