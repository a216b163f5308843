use super::*;
use serde_json::json;

#[test]
fn readable_arguments_are_kept_as_written() {
    for (text, value) in [
        ("{}", json!({})),
        ("", json!({})),
        (" \n\t ", json!({})),
        (r#"{"a":1,"b":{"a":2}}"#, json!({"a":1,"b":{"a":2}})),
        (
            r#"{"n":9007199254740993}"#,
            json!({"n":9007199254740993_i64}),
        ),
        (r#"{"n":-9223372036854775808}"#, json!({"n":i64::MIN})),
        (r#"{"n":18446744073709551615}"#, json!({"n":u64::MAX})),
        (
            r#"{"n":[0.1,0.10,1e2,1.50E-3,-0.0,0.0,1E+2,0e9]}"#,
            json!({"n":[0.1,0.1,100.0,0.0015,-0.0,0.0,100.0,0.0]}),
        ),
        (
            r#"{"s":"1e999 is \" text 0.10000000000000000001"}"#,
            json!({"s":"1e999 is \" text 0.10000000000000000001"}),
        ),
        (
            r#"{"t":true,"f":false,"z":null}"#,
            json!({"t":true,"f":false,"z":null}),
        ),
    ] {
        assert_eq!(Value::Object(parse(text).unwrap()), value, "{text}");
    }
}

#[test]
fn ambiguous_arguments_are_refused_and_the_reason_is_told() {
    for (text, reason) in [
        (r#"{"a":1,"a":1}"#, "stands twice"),
        (r#"{"a":1,"\u0061":2}"#, "stands twice"),
        (r#"{"x":[{"a":{"b":1,"b":2}}]}"#, "stands twice"),
        (r#"{"n":18446744073709551616}"#, "cannot be kept exactly"),
        (r#"{"n":-9223372036854775809}"#, "cannot be kept exactly"),
        (
            r#"{"n":0.1000000000000000055511151231257827}"#,
            "cannot be kept exactly",
        ),
        (r#"{"n":9007199254740993.0}"#, "cannot be kept exactly"),
        (r#"{"n":1e400}"#, "out of range"),
        (r#"{"n":1e-400}"#, "cannot be kept exactly"),
        (r#"{"s":"a\u0000b"}"#, "U+0000"),
        (r#"{"a\u0000":1}"#, "U+0000"),
        ("[1]", "not an array"),
        ("null", "not null"),
        ("\"{}\"", "not a string"),
        ("7", "not a number"),
        ("true", "not a boolean"),
        ("{\"a\":1} x", "trailing characters"),
        ("{'a':1}", "not JSON"),
        ("{\"a\":1", "EOF"),
        ("{\"a\":NaN}", "not JSON"),
        ("{\"a\":01}", "not JSON"),
        ("{\"a\":\"\\ud800\"}", "not JSON"),
        ("get_model(model_id=1)", "not JSON"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn nesting_ends_at_64_levels() {
    let nested = |levels: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    };
    assert_eq!(depth(&Value::Object(parse(&nested(64)).unwrap())), 64);
    for levels in [65, 66, 127, 128, 129, 100_000] {
        let error = parse(&nested(levels)).unwrap_err().to_string();
        assert!(error.contains("levels of nesting"), "{levels}: {error}");
    }
}

#[test]
fn long_text_is_refused_unread() {
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(ARGUMENT_BYTES_MAX));
    assert!(matches!(parse(&text), Err(ArgumentError::TooLong { .. })));
}
