use super::*;
use std::time::{Duration, Instant};

fn compile(schema: Value) -> Result<Schema, SchemaError> {
    let Value::Object(map) = schema else {
        panic!("a schema is an object");
    };
    Schema::compile(map)
}

fn failures(schema: Value, arguments: Value) -> Vec<(String, String)> {
    let failures = compile(schema).unwrap().check(&arguments).unwrap_err();
    failures.into_iter().map(|f| (f.path, f.message)).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(p, m)| ((*p).to_owned(), (*m).to_owned()))
        .collect()
}

#[test]
fn failures_name_the_path() {
    let schema = json!({
        "type": "object",
        "properties": {
            "model_id": {"type": "string", "pattern": "^[a-z0-9.:-]+$"},
            "deployment": {"type": "object", "properties": {"percent": {"type": "integer", "maximum": 100}}, "required": ["percent"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "at": {"type": "string", "format": "date-time"}
        },
        "required": ["model_id"],
        "additionalProperties": false
    });
    for (arguments, expected) in [
        (json!({}), &[("model_id", "is required")][..]),
        (
            json!({"model_id": 7}),
            &[("model_id", "7 is not of type \"string\"")],
        ),
        (
            json!({"model_id": "A'; DROP"}),
            &[("model_id", "\"A'; DROP\" does not match \"^[a-z0-9.:-]+$\"")],
        ),
        (
            json!({"model_id": "a", "deployment": {}}),
            &[("deployment.percent", "is required")],
        ),
        (
            json!({"model_id": "a", "deployment": {"percent": 101}}),
            &[(
                "deployment.percent",
                "101 is greater than the maximum of 100",
            )],
        ),
        (
            json!({"model_id": "a", "tags": ["x", 1]}),
            &[("tags.1", "1 is not of type \"string\"")],
        ),
        (
            json!({"model_id": "a", "at": "yesterday"}),
            &[("at", "\"yesterday\" is not a \"date-time\"")],
        ),
        (
            json!({"model_id": "a", "x": 1}),
            &[(
                "",
                "Additional properties are not allowed ('x' was unexpected)",
            )],
        ),
    ] {
        assert_eq!(
            failures(schema.clone(), arguments.clone()),
            pairs(expected),
            "{arguments}"
        );
    }
}

#[test]
fn at_most_five_failures_are_told_and_long_values_are_cut() {
    let schema =
        json!({"type": "object", "additionalProperties": {"type": "string", "maxLength": 1}});
    let arguments: Map<String, Value> = (0..50)
        .map(|n| (format!("k{n}"), json!("x".repeat(9_999))))
        .collect();
    let failures = failures(schema, Value::Object(arguments));
    assert_eq!(failures.len(), 5);
    assert!(
        failures
            .iter()
            .all(|(_, message)| message.chars().count() <= limits::FAILURE_CHARS_MAX + 1)
    );
}

#[test]
fn a_tool_without_arguments_has_the_plain_schema() {
    for empty in [json!({}), json!({"type": "object"})] {
        let schema = compile(empty).unwrap();
        assert_eq!(
            Value::Object(schema.source().clone()),
            json!({"type": "object", "properties": {}})
        );
        assert_eq!(schema.check(&json!({})), Ok(()));
    }
}

fn assert_refused(list: impl IntoIterator<Item = (Value, &'static str)>) {
    for (schema, reason) in list {
        let shown: String = schema.to_string().chars().take(120).collect();
        let error = compile(schema).expect_err(&shown).to_string();
        assert!(error.contains(reason), "{shown}: {error}");
    }
}

fn object_with(a: Value) -> Value {
    json!({"type": "object", "properties": {"a": a}})
}

#[test]
fn schemas_that_are_none_for_arguments_are_refused() {
    let invalid = "not a valid JSON Schema";
    assert_refused([
        (json!({"type": "string"}), "type = \"object\""),
        (json!({"type": ["object", "null"]}), "type = \"object\""),
        (json!({"properties": {}}), "type = \"object\""),
        (object_with(json!({"type": "strnig"})), invalid),
        (object_with(json!({"pattern": "(?=x)y"})), invalid),
        (object_with(json!({"pattern": "(a{1000}){1000}"})), invalid),
        (
            json!({"type": "object", "description": "x".repeat(300_000)}),
            "bytes",
        ),
    ]);
}

#[test]
fn references_stay_within_the_schema() {
    for foreign in [
        "http://127.0.0.1:1/x.json",
        "file:///etc/passwd",
        "other.json",
        "#anchor",
    ] {
        assert_refused([(object_with(json!({"$ref": foreign})), "only name a place")]);
    }
    let moved = json!({"$id": "http://x/", "$ref": "#/b"});
    assert_refused([
        (object_with(json!({"$ref": "#/$defs/none"})), "is not there"),
        (
            json!({"type": "object", "$dynamicRef": "#x"}),
            "not supported",
        ),
        (object_with(moved), "not supported"),
    ]);
}

#[test]
fn schemas_without_end_are_refused() {
    let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    let definitions = |count: usize, each: fn(Value) -> Value| -> Value {
        let each = (0..count).map(|n| {
            (
                format!("d{n}"),
                each(json!({"$ref": format!("#/$defs/d{}", n + 1)})),
            )
        });
        let last = [(format!("d{count}"), json!({"type": "object"}))];
        Value::Object(each.chain(last).collect())
    };
    let with = |definitions: Value| {
        let mut schema = object_with(json!({"$ref": "#/$defs/d0"}));
        schema["$defs"] = definitions;
        schema
    };
    let ring = json!({
        "a": {"anyOf": [{"$ref": "#/$defs/b"}]},
        "b": {"not": {"$ref": "#/$defs/a"}}
    });
    assert_refused([
        (json!({"type": "object", "$ref": "#"}), "never end"),
        (
            json!({"type": "object", "allOf": [{"$ref": "#/$defs/a"}], "$defs": ring}),
            "never end",
        ),
        (object_with(json!({"$ref": "#/properties/a"})), "never end"),
        (object_with(deep), "deeper than"),
        (with(definitions(2_000, |next| next)), "deeper than"),
        (
            with(definitions(40, |next| json!({"allOf": [next, next]}))),
            "multiply",
        ),
    ]);
}

#[test]
fn patterns_take_linear_time() {
    let schema = compile(
        json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}),
    )
    .unwrap();
    let begun = Instant::now();
    schema
        .check(&json!({"a": format!("{}!", "a".repeat(100_000))}))
        .unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn schemas_that_refer_to_themselves_are_checked_within_bounds() {
    let filter = json!({
        "type": "object",
        "properties": {"where": {"$ref": "#/$defs/expr"}},
        "$defs": {"expr": {"anyOf": [
            {"type": "object", "properties": {"and": {"type": "array", "items": {"$ref": "#/$defs/expr"}}}, "required": ["and"], "additionalProperties": false},
            {"type": "object", "properties": {"not": {"$ref": "#/$defs/expr"}}, "required": ["not"], "additionalProperties": false},
            {"type": "object", "properties": {"field": {"type": "string"}}, "required": ["field"], "additionalProperties": false}
        ]}}
    });
    let schema = compile(filter).unwrap();
    assert_eq!(
        schema.check(&json!({"where": {"and": [{"field": "a"}, {"not": {"field": "b"}}]}})),
        Ok(())
    );
    schema
        .check(&json!({"where": {"and": [{"field": 1}]}}))
        .unwrap_err();
    let tree = |levels| (0..levels).fold(json!({"field": "x"}), |inner, _| json!({"not": inner}));
    assert_eq!(schema.check(&json!({"where": tree(10)})), Ok(()));
    let begun = Instant::now();
    assert_eq!(
        schema.check(&json!({"where": tree(60)})).unwrap_err().len(),
        1
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_most_that_is_allowed_fits_a_small_stack_and_little_time() {
    let worst = json!({
        "type": "object",
        "anyOf": [
            {"properties": {"a": {"$ref": "#"}}, "required": ["no"]},
            {"properties": {"a": {"$ref": "#"}}, "required": ["no"]},
            {"properties": {"a": {"$ref": "#"}}}
        ]
    });
    let list = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
    let run = move || {
        let worst = compile(worst).unwrap();
        let list = compile(list).unwrap();
        let tree = |levels| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!(list.check(&tree(63)), Ok(()));
        let begun = Instant::now();
        for levels in 1..64 {
            let told = worst.check(&tree(levels));
            assert_eq!(told.is_ok(), levels < 13, "{levels}: {told:?}");
        }
        begun.elapsed()
    };
    let thread = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(run)
        .unwrap();
    let taken = thread.join().unwrap();
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}
