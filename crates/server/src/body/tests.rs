use super::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize, PartialEq)]
struct Order {
    name: String,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Line {
    count: u32,
}

fn code(text: &[u8]) -> Code {
    parse::<Value>(text).expect_err("it must be refused").code()
}

fn wrong(text: &str) -> Value {
    let problem = parse_object::<Order>(text.as_bytes()).expect_err("it must be refused");
    assert_eq!(problem.code(), Code::validation_error);
    let body: Value = serde_json::from_slice(&problem.body("r")).unwrap();
    body["errors"].clone()
}

#[test]
fn what_is_json_but_not_strict_is_refused_by_its_own_code() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let keys: String = (0..40).map(|n| format!("\"k{n}\":1,")).collect();
    for (text, expected) in [
        (b"".to_vec(), Code::invalid_json),
        (b"{".to_vec(), Code::invalid_json),
        (b"{} {}".to_vec(), Code::invalid_json),
        (b"{'a':1}".to_vec(), Code::invalid_json),
        (b"[1e999]".to_vec(), Code::invalid_json),
        (b"[NaN]".to_vec(), Code::invalid_json),
        (br#"["\ud800"]"#.to_vec(), Code::invalid_json),
        (b"\xef\xbb\xbf{}".to_vec(), Code::invalid_json),
        (b"[\"\xff\"]".to_vec(), Code::invalid_encoding),
        (br#"{"a":1,"a":1}"#.to_vec(), Code::duplicate_key),
        (br#"{"a":1,"\u0061":2}"#.to_vec(), Code::duplicate_key),
        (br#"[{"b":{"a":1,"a":2}}]"#.to_vec(), Code::duplicate_key),
        (
            format!("{{{keys}\"k39\":2}}").into_bytes(),
            Code::duplicate_key,
        ),
        (br#"["\u0000"]"#.to_vec(), Code::null_character),
        (br#"{"a\u0000":1}"#.to_vec(), Code::null_character),
        (nested(65).into_bytes(), Code::nesting_too_deep),
        (nested(100_000).into_bytes(), Code::nesting_too_deep),
    ] {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert_eq!(code(&text), expected, "{shown}");
    }
    assert!(parse::<Value>(nested(64).as_bytes()).is_ok());
    assert!(parse::<Value>(br#"[{"a":1},{"a":1}]"#).is_ok());
}

#[test]
fn wrong_values_are_told_with_their_path() {
    use serde_json::json;
    assert_eq!(
        wrong("{}"),
        json!([{"path": "name", "message": "is required"}])
    );
    assert_eq!(
        wrong(r#"{"name":"x","lines":[{"count":1},{}]}"#),
        json!([{"path": "lines[1].count", "message": "is required"}])
    );
    assert_eq!(
        wrong(r#"{"name":7}"#),
        json!([{"path": "name", "message": "invalid type: integer `7`, expected a string"}])
    );
    assert_eq!(
        wrong("[]"),
        json!([{"path": "", "message": "must be an object"}])
    );
}

#[test]
fn unknown_fields_are_ignored() {
    let order: Order = parse(br#"{"name":"x","more":{"deep":[1]}}"#).unwrap();
    assert_eq!(order.name, "x");
}
