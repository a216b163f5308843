//! The form of live events in a message. Servers of two versions may share a bus: what one cannot read is a hint to it.

use bytes::Bytes;
use domain::event::Event;
use std::sync::Arc;

/// The events as a JSON list; empty, which is a hint, if they are more than a message may hold.
pub(crate) fn encode(events: &[Arc<Event>], bytes_max: usize) -> Bytes {
    let list: Vec<&Event> = events.iter().map(AsRef::as_ref).collect();
    match serde_json::to_vec(&list) {
        Ok(bytes) if bytes.len() <= bytes_max && !list.is_empty() => bytes.into(),
        Ok(_) | Err(_) => Bytes::new(),
    }
}

/// Empty for a hint, and for what this version does not understand.
pub(crate) fn decode(payload: &[u8]) -> Vec<Event> {
    serde_json::from_slice(payload).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::EventBody;
    use domain::run::RunStatus;
    use domain::{MessageId, Timestamp};
    use uuid::Uuid;

    fn events() -> Vec<Arc<Event>> {
        let delta = EventBody::MessageDelta {
            message_id: MessageId::new(Uuid::from_u128(3)),
            delta: "naïve \u{202e}\n".to_owned(),
        };
        let status = EventBody::RunStatus {
            status: RunStatus::Running,
        };
        [(8, delta), (9, status)]
            .map(|(seq, body)| {
                let at = Timestamp::from_micros(1_700_000_000_000_001);
                Arc::new(Event { seq, at, body })
            })
            .into()
    }

    #[test]
    fn events_arrive_as_they_were() {
        let told = events();
        let heard: Vec<Arc<Event>> = decode(&encode(&told, 1 << 20))
            .into_iter()
            .map(Arc::new)
            .collect();
        assert_eq!(heard, told);
    }

    #[test]
    fn what_is_too_large_or_not_understood_is_a_hint() {
        assert!(encode(&events(), 16).is_empty());
        assert!(encode(&[], 16).is_empty());
        let newer = br#"[{"seq":1,"at":"2026-01-01T00:00:00Z","type":"from_the_future"}]"#;
        for payload in [newer.as_slice(), b"", b"{", b"null"] {
            assert!(decode(payload).is_empty());
        }
    }
}
