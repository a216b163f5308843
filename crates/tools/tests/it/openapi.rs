//! Operations of an OpenAPI document as tools, called over real sockets.

use crate::support::{
    LIMIT, Raw, Reply, StillClock, agent, committed, env, http, ready, run, scope,
};
use domain::ports::tools::Tools;
use domain::tool::{Effect, Found, Policy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tools::egress::System;
use tools::openapi::{OpenapiConfig, OpenapiError, tools};
use tools::{EgressConfig, Gateway, Setup};

fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "servers": [{ "url": "https://pets.example/v1/" }],
        "paths": {
            "/pets/{pet-id}": {
                "parameters": [
                    { "name": "pet-id", "in": "path", "required": true, "schema": { "type": "integer" } },
                    { "name": "lang", "in": "query", "schema": { "type": "string" } }
                ],
                "get": {
                    "operationId": "getPet",
                    "summary": "A pet.",
                    "parameters": [
                        { "$ref": "#/components/parameters/Trace" },
                        { "name": "lang", "in": "query", "schema": { "type": "string", "enum": ["de", "en"] } },
                        { "name": "session", "in": "cookie", "schema": { "type": "string" } },
                        { "name": "Authorization", "in": "header", "schema": { "type": "string" } }
                    ]
                },
                "put": {
                    "operationId": "putPet",
                    "requestBody": { "required": true, "content": { "application/json; charset=utf-8": {
                        "schema": { "$ref": "#/components/schemas/Pet" }
                    } } }
                },
                "delete": { "operationId": "deletePet" }
            },
            "/pets": {
                "post": {
                    "operationId": "addPet",
                    "requestBody": { "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/Pet" }
                    } } }
                },
                "get": { "operationId": "listPets", "parameters": [
                    { "name": "tag", "in": "query", "schema": { "type": "array", "items": { "type": "string" } } }
                ] }
            },
            "/far": { "get": { "operationId": "far", "parameters": [
                { "$ref": "https://evil.example/parameters.json#/a" }
            ] } },
            "/round": { "get": { "operationId": "round", "parameters": [
                { "$ref": "#/components/parameters/Round" }
            ] } }
        },
        "components": {
            "parameters": {
                "Trace": { "name": "X-Trace", "in": "header", "description": "To find it again.",
                    "schema": { "type": "string" } },
                "Round": { "$ref": "#/components/parameters/Round" }
            },
            "schemas": {
                "Pet": { "type": "object", "required": ["name"], "properties": {
                    "name": { "type": "string", "example": "Rex" },
                    "age": { "type": "number", "minimum": 0, "exclusiveMinimum": true, "nullable": true },
                    "mother": { "$ref": "#/components/schemas/Pet" },
                    "example": { "$ref": "#/components/schemas/Toy" }
                } },
                "Toy": { "type": "string" }
            }
        }
    })
}

fn config(operations: &[&str], more: &str) -> OpenapiConfig {
    let text = format!("document = \"pets.json\"\noperations = {operations:?}\n{more}");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn gateway(operations: &[&str], more: &str, port: u16) -> Gateway {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let more = format!("base_url = \"http://127.0.0.1:{port}/v1\"\n{more}");
    let tools = tools("pets", &config(operations, &more), &document()).unwrap();
    let egress = format!("allow_private = [\"127.0.0.1:{port}\"]");
    let egress: EgressConfig = toml::from_str(&egress).unwrap();
    Gateway::build(Setup {
        tools,
        databases: BTreeMap::new(),
        egress,
        policy: Default::default(),
        asking: domain::approval::AskOptions::default(),
        clock: Arc::new(StillClock),
        results: None,
        lookup: Arc::new(System),
        env: &env,
        data: std::path::Path::new("/nonexistent"),
    })
    .unwrap()
}

#[test]
fn effects_follow_the_method_unless_the_operator_says() {
    let all = ["getPet", "putPet", "deletePet", "addPet", "listPets"];
    let more = "policy = \"ask\"\npolicies = { listPets = \"auto\" }\neffects = { putPet = \"idempotent\", addPet = \"keyed\" }";
    let gateway = gateway(&all, more, 1);
    let names = [
        "pets__getPet",
        "pets__putPet",
        "pets__deletePet",
        "pets__addPet",
        "pets__listPets",
    ];
    let specs = gateway.specs(&scope(), &agent(&names));
    let told: Vec<(Effect, Policy)> = specs
        .iter()
        .map(|spec| (spec.effect, spec.policy))
        .collect();
    assert_eq!(
        told,
        [
            (Effect::Idempotent, Policy::Ask),
            (Effect::Idempotent, Policy::Ask),
            (Effect::Unsafe, Policy::Ask),
            (Effect::Keyed, Policy::Ask),
            (Effect::Idempotent, Policy::Auto),
        ]
    );
    let pet = &specs[1].input_schema;
    assert_eq!(pet["required"], json!(["pet_id", "body"]));
    assert_eq!(pet["properties"]["body"], json!({ "$ref": "#/$defs/Pet" }));
    let definition = &pet["$defs"]["Pet"]["properties"];
    assert_eq!(
        definition["age"],
        json!({ "type": ["number", "null"], "exclusiveMinimum": 0 })
    );
    assert_eq!(definition["name"], json!({ "type": "string" }));
    assert_eq!(definition["example"], json!({ "$ref": "#/$defs/Toy" }));
    assert!(pet["$defs"]["Toy"].is_object());
}

#[tokio::test]
async fn a_lost_call_is_looked_for_with_another_operation() {
    let head = "200 OK\r\ncontent-type: application/json";
    let raw = Raw::start(Reply::Bytes(http(head, b"{\"name\":\"Rex\"}"))).await;
    let probe = "tool = \"pets__getPet\", arguments = { pet_id = \"{pet_id}\" }, \
                 happened = { pointer = \"/body/gone\", equals = true }, did_not = { pointer = \"/body/name\", equals = \"Rex\" }";
    let more = format!("probes = {{ deletePet = {{ {probe} }} }}");
    let gateway = gateway(&["getPet", "deletePet"], &more, raw.port);
    let (context, call) = ready(&gateway, "pets__deletePet", json!({ "pet_id": 7 })).await;
    assert!(call.has_probe);
    let probed = gateway.probe(&scope(), &context, &call, LIMIT).await;
    assert_eq!(
        (probed.tool.as_str(), probed.found),
        ("pets__getPet", Found::DidNot)
    );
    let requests = raw.requests();
    assert!(requests[0].starts_with("GET /v1/pets/7 "), "{requests:?}");
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn an_operation_is_one_request() {
    let raw = Raw::start(Reply::Bytes(http(
        "200 OK\r\ncontent-type: application/json",
        b"{\"name\":\"Rex\"}",
    )))
    .await;
    let more = "headers = { Authorization = { env = \"TEST_SECRET\", prefix = \"Bearer \" } }\neffects = { putPet = \"keyed\" }";
    let gateway = gateway(&["getPet", "putPet", "listPets"], more, raw.port);
    let arguments = json!({ "pet_id": 7, "lang": "de", "X_Trace": "a b" });
    let (told, is_error) = committed(run(&gateway, "pets__getPet", arguments).await);
    assert!(
        !is_error && told["result"]["body"] == json!({ "name": "Rex" }),
        "{told}"
    );
    let arguments = json!({ "pet_id": 8, "body": { "name": "Rex", "age": null } });
    let (context, call) = ready(&gateway, "pets__putPet", arguments).await;
    gateway
        .execute(&scope(), &context, &call, Duration::from_secs(10))
        .await;
    run(&gateway, "pets__listPets", json!({ "tag": ["a", "b&c"] })).await;
    let requests = raw.requests();
    assert!(
        requests[0].starts_with("GET /v1/pets/7?lang=de HTTP/1.1"),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("x-trace: a b") && requests[0].contains("Bearer s3cret-canary"));
    assert!(
        requests[1].starts_with("PUT /v1/pets/8 HTTP/1.1"),
        "{}",
        requests[1]
    );
    assert!(requests[1].contains(&format!("idempotency-key: {}", call.key)));
    let body = requests[1].split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({ "name": "Rex", "age": null })
    );
    assert!(
        requests[2].starts_with("GET /v1/pets?tag=a&tag=b%26c HTTP/1.1"),
        "{}",
        requests[2]
    );
}

#[tokio::test]
async fn arguments_are_checked_before_anything_is_sent() {
    let gateway = gateway(&["getPet", "addPet"], "", 1);
    let context = crate::support::context(agent(&["pets__getPet", "pets__addPet"]));
    for (name, arguments) in [
        ("pets__getPet", json!({ "pet_id": "7" })),
        ("pets__getPet", json!({})),
        ("pets__getPet", json!({ "pet_id": 7, "lang": "fr" })),
        ("pets__getPet", json!({ "pet_id": 7, "other": 1 })),
        (
            "pets__addPet",
            json!({ "body": { "name": "Rex", "mother": { "age": 1 } } }),
        ),
    ] {
        let planned =
            crate::support::plan_one(&gateway, &context, name, &arguments.to_string()).await;
        let verdict = format!("{:?}", planned.verdict);
        assert!(verdict.starts_with("Reject"), "{arguments} {verdict}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start() {
    let refused = |operations: &[&str], more: &str| {
        tools("pets", &config(operations, more), &document()).unwrap_err()
    };
    assert!(matches!(
        refused(&["far"], ""),
        OpenapiError::ForeignReference { .. }
    ));
    assert!(matches!(
        refused(&["round"], ""),
        OpenapiError::DanglingReference { .. }
    ));
    let unknown = refused(&["other"], "").to_string();
    assert!(
        unknown.contains("there are: addPet, deletePet"),
        "{unknown}"
    );
    let stray = refused(&["getPet"], "effects = { putPet = \"keyed\" }");
    assert!(matches!(stray, OpenapiError::NotChosen { .. }));
    let probe = "probes = { putPet = { tool = \"x\", happened = { pointer = \"\", equals = 1 } } }";
    let stray = refused(&["getPet"], probe).to_string();
    assert!(
        stray.contains("`probes` names the operation `putPet`"),
        "{stray}"
    );
    let relative = json!({ "openapi": "3.1.0", "servers": [{ "url": "/v1" }] });
    let no_server = tools("pets", &config(&[], ""), &relative).unwrap_err();
    assert_eq!(no_server, OpenapiError::NoServer);
    let old = json!({ "swagger": "2.0" });
    assert_eq!(
        tools("pets", &config(&[], ""), &old).unwrap_err(),
        OpenapiError::Version
    );
}
