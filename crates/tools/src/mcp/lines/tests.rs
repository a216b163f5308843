//! Lines whole, in pieces, too long, and not messages at all.

use super::{Lines, Skim, TOO_LONG};
use rmcp::model::{RequestId, ServerJsonRpcMessage};
use tokio::io::AsyncWriteExt;

/// What is received of these bytes, sent in pieces of `piece` bytes, until the end.
async fn received(bytes: &[u8], piece: usize, bytes_max: usize) -> Vec<ServerJsonRpcMessage> {
    let (mut theirs, ours) = tokio::io::duplex(64 << 10);
    let bytes = bytes.to_vec();
    let sending = tokio::spawn(async move {
        for piece in bytes.chunks(piece) {
            if theirs.write_all(piece).await.is_err() {
                return;
            }
        }
    });
    let (read, write) = tokio::io::split(ours);
    let mut lines = Lines::new(read, write, bytes_max);
    let mut messages = Vec::new();
    while let Some(message) = lines.receive().await {
        messages.push(message);
    }
    drop(lines);
    sending.await.unwrap();
    messages
}

/// The id of an answer, and whether it is the error for one that is too long.
fn answered(message: &ServerJsonRpcMessage) -> (Option<i64>, bool) {
    let number = |id: &RequestId| match id {
        RequestId::Number(id) => *id,
        RequestId::String(id) => panic!("{id}"),
    };
    match message {
        ServerJsonRpcMessage::Response(response) => (Some(number(&response.id)), false),
        ServerJsonRpcMessage::Error(error) => {
            (error.id.as_ref().map(number), error.error.code == TOO_LONG)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lines_are_read_however_they_are_cut() {
    let text = "\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\nnot json\n{\"x\":1}\n\
        {\"id\":2,\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"no\"}}\n{\"jsonrpc\":";
    for piece in [1, 7, 4_096] {
        let messages = received(text.as_bytes(), piece, 1_000).await;
        let answers: Vec<_> = messages.iter().map(answered).collect();
        assert_eq!(answers, [(Some(1), false), (Some(2), false)], "{piece}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error_of_its_request_alone() {
    let filler = "\\\"id\\\":9,{[".repeat(400);
    let text = format!(
        "{{\"result\":{{\"id\":8,\"text\":\"{filler}\"}},\"jsonrpc\":\"2.0\",\"id\":3}}\n\
         {{\"jsonrpc\":\"2.0\",\"id\": 4 ,\"result\":[\"{filler}\"]}}\n\
         {{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{{}}}}\n"
    );
    for piece in [11, 4_096] {
        let messages = received(text.as_bytes(), piece, 200).await;
        let answers: Vec<_> = messages.iter().map(answered).collect();
        let expected = [(Some(3), true), (Some(4), true), (Some(5), false)];
        assert_eq!(answers, expected, "{piece}");
    }
}

#[tokio::test]
async fn a_long_line_that_answers_nobody_ends_the_connection() {
    let text = format!(
        "{}\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{}}}}\n",
        "x".repeat(300)
    );
    assert!(received(text.as_bytes(), 64, 200).await.is_empty());
}

#[tokio::test]
async fn endless_garbage_ends_the_connection() {
    let text = "nonsense\n".repeat(5_000) + "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n";
    assert!(received(text.as_bytes(), 4_096, 200).await.is_empty());
}

#[test]
fn only_the_outermost_id_counts() {
    let id = |text: &str| {
        let mut skim = Skim::default();
        skim.read(text.as_bytes());
        skim.id()
    };
    assert_eq!(id(r#"{"id":12}"#), Some(RequestId::Number(12)));
    assert_eq!(
        id(r#"{"a":{"id":1},"id":2,"b":[{"id":3}]}"#),
        Some(RequestId::Number(2))
    );
    assert_eq!(id(r#"{"a":"\"id\":1,"}"#), None);
    assert_eq!(id(r#"{"id":"text"}"#), None);
    assert_eq!(id("[[[{"), None);
}
