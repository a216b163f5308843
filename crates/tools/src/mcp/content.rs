//! What a server's answer amounts to: text as it is, anything else described. Pictures and files never go into a
//! model's context unasked.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

/// The result's value, and whether it is an error.
pub(super) fn value(result: CallToolResult) -> (Value, bool) {
    let is_error = result.is_error == Some(true);
    let mut blocks: Vec<Value> = result.content.into_iter().map(block).collect();
    let value = match (result.structured_content, blocks.as_mut_slice()) {
        // The text beside it says the same again.
        (Some(structured), _) => structured,
        (None, [one]) if one["type"] == "text" => text(one["text"].take()),
        (None, _) => json!({ "content": blocks }),
    };
    (value, is_error)
}

/// Text that is an object or a list in JSON is told as that.
fn text(text: Value) -> Value {
    let parsed = text.as_str().and_then(|text| {
        let looks = text.trim_start().starts_with(['{', '[']);
        let parsed = serde_json::from_str::<Value>(text).ok();
        parsed.filter(|_| looks)
    });
    parsed.unwrap_or(text)
}

fn block(block: ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => json!({ "type": "text", "text": text.text }),
        ContentBlock::Image(image) => left_out("image", Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => left_out("audio", Some(&audio.mime_type), &audio.data),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents {
                uri,
                mime_type,
                text,
                ..
            } => json!({ "type": "resource", "uri": uri, "mime_type": mime_type, "text": text }),
            ResourceContents::BlobResourceContents {
                uri,
                mime_type,
                blob,
                ..
            } => {
                let mut told = left_out("resource", mime_type.as_deref(), &blob);
                told["uri"] = json!(uri);
                told
            }
            _ => json!({ "type": "resource", "left_out": "of a kind that is not known" }),
        },
        ContentBlock::ResourceLink(link) => json!({
            "type": "resource_link",
            "uri": link.uri,
            "name": link.name,
            "mime_type": link.mime_type,
        }),
        _ => json!({ "left_out": "of a kind that is not known" }),
    }
}

fn left_out(kind: &str, mime_type: Option<&str>, base64: &str) -> Value {
    json!({
        "type": kind,
        "mime_type": mime_type,
        "left_out": format!("{} bytes that are not text", base64.len() / 4 * 3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: Value) -> (Value, bool) {
        value(serde_json::from_value(result).unwrap())
    }

    #[test]
    fn text_is_told_and_anything_else_described() {
        let one = json!({ "content": [{ "type": "text", "text": "[1, 2] and more" }] });
        assert_eq!(told(one), (json!("[1, 2] and more"), false));
        let list = json!({ "content": [{ "type": "text", "text": " [1, 2]" }], "isError": true });
        assert_eq!(told(list), (json!([1, 2]), true));
        let number = json!({ "content": [{ "type": "text", "text": "12" }] });
        assert_eq!(told(number), (json!("12"), false));
        let structured = json!({
            "content": [{ "type": "text", "text": "{\"a\":1}" }],
            "structuredContent": { "a": 1 }
        });
        assert_eq!(told(structured), (json!({ "a": 1 }), false));
        let picture = json!({ "content": [
            { "type": "image", "data": "QUJDREVG", "mimeType": "image/png" },
            { "type": "resource", "resource": { "uri": "a:b", "blob": "QUJD", "mimeType": "x/y" } },
            { "type": "resource", "resource": { "uri": "c:d", "text": "words" } },
        ] });
        assert_eq!(
            told(picture),
            (
                json!({ "content": [
                    { "type": "image", "mime_type": "image/png", "left_out": "6 bytes that are not text" },
                    { "type": "resource", "mime_type": "x/y", "left_out": "3 bytes that are not text", "uri": "a:b" },
                    { "type": "resource", "mime_type": null, "uri": "c:d", "text": "words" },
                ] }),
                false
            )
        );
    }
}
