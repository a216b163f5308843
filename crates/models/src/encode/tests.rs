use super::*;
use serde_json::{Value, json};

fn same_as_serde_json(value: &impl Serialize) {
    let ours = String::from_utf8(to_vec(value, 0).unwrap()).unwrap();
    assert_eq!(ours, serde_json::to_string(value).unwrap());
}

#[test]
fn every_character_at_every_place_is_escaped_as_serde_json_does() {
    for code in (0..0x180u32).chain([0x2028, 0xD7FF, 0xFFFD, 0x1F422]) {
        let c = char::from_u32(code).unwrap();
        for before in 0..10 {
            for after in [0, 1, 7, 8, 9] {
                let text = format!("{}{c}{}", "a".repeat(before), "b".repeat(after));
                let ours: String = serde_json::from_slice(&to_vec(&text, 0).unwrap()).unwrap();
                assert_eq!(ours, text);
            }
        }
    }
}

#[test]
fn borrows_of_the_word_test_mark_nothing_that_is_plain() {
    // Bytes beside those that are looked for, in each order.
    let bytes = *b"!\"#[\\]\x1f\x20\x7f";
    for first in bytes {
        for second in bytes {
            let pair = [b'a', first, second, b'a', first, second, b'a', b'a', second];
            let text = String::from_utf8(pair.to_vec()).unwrap();
            same_as_serde_json(&text);
        }
    }
}

#[test]
fn values_are_written_as_serde_json_writes_them() {
    same_as_serde_json(&json!({
        "null": null, "true": true, "int": -7, "large": u64::MAX, "float": 1.0, "small": 1.5e-9,
        "list": [1, "two", [], {}], "text": "quote \" slash \\ line \n tab \t bell \u{7} żółw 🐢",
        "deep": {"er": {"est": [[["x"]]]}}
    }));
    for value in [json!("x"), json!(1), Value::Null, json!([]), json!({})] {
        same_as_serde_json(&value);
    }
}

#[test]
fn every_shape_that_requests_use_is_written() {
    #[derive(Serialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        One { text: &'static str },
        Two { number: u8 },
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Text(&'static str),
        List(Vec<f64>),
    }
    #[derive(Serialize)]
    enum Plain {
        Unit,
        Newtype(i8),
        Fields { a: bool },
    }
    #[derive(Serialize)]
    struct New(u16);
    #[derive(Serialize)]
    struct All {
        tagged: Vec<Tagged>,
        untagged: [Untagged; 2],
        plain: Vec<Plain>,
        none: Option<u8>,
        some: Option<New>,
        unit: (),
        tuple: (i32, char),
        #[serde(flatten)]
        more: serde_json::Map<String, Value>,
    }
    let more = json!({"extra": {"a": [1]}, "other": "x"});
    same_as_serde_json(&All {
        tagged: vec![Tagged::One { text: "a" }, Tagged::Two { number: 2 }],
        untagged: [Untagged::Text("b"), Untagged::List(vec![0.5, 2.0])],
        plain: vec![Plain::Unit, Plain::Newtype(-1), Plain::Fields { a: true }],
        none: None,
        some: Some(New(9)),
        unit: (),
        tuple: (-5, 'c'),
        more: more.as_object().unwrap().clone(),
    });
}

#[test]
fn keys_that_are_no_text_are_refused() {
    let map = std::collections::BTreeMap::from([(1, "x")]);
    assert!(to_vec(&map, 0).is_err());
}
