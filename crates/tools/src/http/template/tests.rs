use super::*;
use serde_json::json;

fn url(template: &str, arguments: Value) -> Result<String, String> {
    let template = UrlTemplate::parse(template).unwrap();
    template
        .fill(&|name| arguments.get(name).cloned())
        .map(|url| url.to_string())
}

#[test]
fn arguments_stay_within_their_segment() {
    for (value, expected) in [
        (json!("a"), "a"),
        (json!(7), "7"),
        (json!("a/b"), "a%2Fb"),
        (json!("../../admin"), "..%2F..%2Fadmin"),
        (json!("a?x=1"), "a%3Fx%3D1"),
        (json!("a#x"), "a%23x"),
        (json!("a%2fb"), "a%252fb"),
        (json!("a\\b"), "a%5Cb"),
        (json!("a@evil.example"), "a%40evil.example"),
        (json!("a\r\nHost: evil"), "a%0D%0AHost%3A%20evil"),
        (json!("a\tb"), "a%09b"),
        (json!("ä"), "%C3%A4"),
        (json!("..."), "..."),
        (json!(["x", 1]), "%5B%22x%22%2C1%5D"),
    ] {
        let expected = format!("http://api.example:8080/v1/{expected}/state?k=v");
        let filled = url(
            "http://api.example:8080/v1/{id}/state?k=v",
            json!({"id": value}),
        );
        assert_eq!(filled, Ok(expected));
    }
}

#[test]
fn arguments_cannot_leave_the_path() {
    for value in [json!(""), json!("."), json!(".."), json!(null)] {
        assert!(
            url("http://api.example/v1/{id}", json!({"id": value})).is_err(),
            "{value}"
        );
    }
    assert!(url("http://api.example/v1/{a}{b}", json!({"a": ".", "b": "."})).is_err());
    assert!(url("http://api.example/v1/{id}", json!({})).is_err());
    // Twice encoded, it is a segment with a percent sign in it.
    assert_eq!(
        url("http://api.example/v1/{id}", json!({"id": "%2e%2e"})),
        Ok("http://api.example/v1/%252e%252e".to_owned())
    );
}

#[test]
fn names_may_stand_in_the_path_only() {
    for (template, error) in [
        ("{base}/x", TemplateError::Url),
        ("/x", TemplateError::Url),
        ("ftp://api.example/x", TemplateError::Url),
        ("http://{host}/x", TemplateError::Place),
        ("http://api.example:{port}/x", TemplateError::Place),
        ("{scheme}://api.example/x", TemplateError::Place),
        ("http://api.example/x#{part}", TemplateError::Place),
        ("http://api.example/x?k={v}", TemplateError::Query),
        ("http://api.example/{a", TemplateError::Brace),
        ("http://api.example/a}", TemplateError::Brace),
        (
            "http://api.example/{a b}",
            TemplateError::Name {
                name: "a b".to_owned(),
            },
        ),
        (
            "http://api.example/{}",
            TemplateError::Name {
                name: String::new(),
            },
        ),
    ] {
        assert_eq!(
            UrlTemplate::parse(template).unwrap_err(),
            error,
            "{template}"
        );
    }
}

#[test]
fn bodies_are_filled_by_value() {
    let template = json!({
        "name": "{name}",
        "title": "model {name} at {percent}%",
        "percent": "{percent}",
        "tags": ["{tag}", "fixed", "{none}"],
        "deep": {"all": "{tags}", "gone": "{none}", "text": "{{literally}}"},
        "fixed": [1, true, null]
    });
    let arguments = json!({"name": "x\", \"admin\": true, \"y\": \"", "percent": 5, "tag": null, "tags": ["a", {"b": 1}]});
    let body = Body::parse(&template).unwrap();
    assert_eq!(
        body.fill(&|name| arguments.get(name).cloned()),
        Some(json!({
            "name": "x\", \"admin\": true, \"y\": \"",
            "title": "model x\", \"admin\": true, \"y\": \" at 5%",
            "percent": 5,
            "tags": [null, "fixed"],
            "deep": {"all": ["a", {"b": 1}], "text": "{literally}"},
            "fixed": [1, true, null]
        }))
    );
    let mut names = BTreeSet::new();
    body.parameters(&mut names);
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["name", "none", "percent", "tag", "tags"]
    );
}

#[test]
fn lists_repeat_in_the_query() {
    let filled = |template: &str, arguments: Value| {
        Text::parse(template)
            .unwrap()
            .fill_each(&|name| arguments.get(name).cloned())
    };
    assert_eq!(
        filled("{t}", json!({"t": ["a", 1, null]})),
        Ok(vec!["a".to_owned(), "1".to_owned()])
    );
    assert_eq!(
        filled("x{t}", json!({"t": ["a"]})),
        Ok(vec!["x[\"a\"]".to_owned()])
    );
    assert_eq!(filled("{t}", json!({})), Err(Missing));
}
