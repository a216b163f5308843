//! Reading a provider's JSON when it is not quite JSON: bytes that are no UTF-8, halves of surrogate pairs, and the
//! NUL character, which no store takes. Valid input is read in one pass and never copied first.

use crate::fault::Fault;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads `data`, mended if it must be.
pub(crate) fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, Fault> {
    if let Ok(value) = serde_json::from_slice(data) {
        return Ok(value);
    }
    let text = mended(String::from_utf8_lossy(data).into_owned());
    serde_json::from_str(&text).map_err(|_| Fault::Unreadable)
}

/// Text without NUL, each replaced by U+FFFD.
pub(crate) fn without_nul(text: String) -> String {
    if memchr::memchr(0, text.as_bytes()).is_none() {
        return text;
    }
    text.replace('\0', "\u{FFFD}")
}

/// JSON text whose escapes of NUL and of half surrogate pairs are escapes of U+FFFD instead.
pub(crate) fn mended(text: String) -> String {
    let text = without_nul(text);
    if memchr::memmem::find(text.as_bytes(), b"\\u").is_none() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let taken = mend_escape(escape, &mut out);
        rest = &escape[taken..];
    }
    out.push_str(rest);
    out
}

/// Copies the escape that `text` begins with, replaced where it stands for no character. Returns its length.
fn mend_escape(text: &str, out: &mut String) -> usize {
    let Some(unit) = code_unit(text) else {
        // Not a \u escape: the backslash and what it escapes, which may itself be a backslash.
        let length = text
            .char_indices()
            .nth(2)
            .map_or(text.len(), |(index, _)| index);
        out.push_str(&text[..length]);
        return length;
    };
    match unit {
        0xD800..=0xDBFF if matches!(code_unit(&text[6..]), Some(0xDC00..=0xDFFF)) => {
            out.push_str(&text[..12]);
            return 12;
        }
        0 | 0xD800..=0xDFFF => out.push_str("\\uFFFD"),
        _ => out.push_str(&text[..6]),
    }
    6
}

fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok()
}

/// A string where the field is one, and nothing for any other type: for fields that some event carries under the same
/// name with another meaning.
pub(crate) fn text_if_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_any(TextIfText)
}

struct TextIfText;

impl<'de> Visitor<'de> for TextIfText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(data: &[u8]) -> String {
        read(data).unwrap()
    }

    #[test]
    fn what_is_valid_stays_as_it_is() {
        for text in [
            r#""plain""#,
            r#""\ud83d\ude00 \\u0000 \\\\ud800 \u00e9\n""#,
            r#""{\"a\":\"\\u0041\"}""#,
        ] {
            assert_eq!(mended(text.to_owned()), text);
        }
        assert_eq!(string(r#""\ud83d\ude00""#.as_bytes()), "😀");
    }

    #[test]
    fn what_stands_for_no_character_is_replaced() {
        assert_eq!(string(br#""a\ud83d""#), "a\u{FFFD}");
        assert_eq!(string(br#""\ude00b""#), "\u{FFFD}b");
        assert_eq!(string(br#""\ud83d\ud83d\ude00""#), "\u{FFFD}😀");
        assert_eq!(string(b"\"a\xFF\xC3b\""), "a\u{FFFD}\u{FFFD}b");
        assert_eq!(mended(r#"{"a":"\u0000"}"#.to_owned()), r#"{"a":"\uFFFD"}"#);
        assert_eq!(without_nul("a\0b".to_owned()), "a\u{FFFD}b");
    }

    #[test]
    fn broken_escapes_at_the_end_do_no_harm() {
        for text in [
            "\\",
            "\\u",
            "\\u12",
            "\\ud83d\\",
            "\\ud83d\\ude0",
            "é\\é",
            "\\uéé",
        ] {
            let once = mended(text.to_owned());
            assert_eq!(mended(once.clone()), once);
        }
    }
}
