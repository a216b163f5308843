//! One attempt: one request through the egress guard. What is answered is looked at only for its status.

use super::sign::signatures;
use crate::config::Webhook;
use ::tools::egress::{Egress, Reuse, refusal};
use domain::Timestamp;
use domain::seeded::Seeded;
use domain::webhook::Posted;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// An endpoint that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted,
    /// The receiver wants no more of these.
    Gone {
        error: String,
    },
    Failed {
        error: String,
        /// What the receiver asked for.
        wait: Option<Duration>,
    },
}

/// The message's id as receivers see it: the same in every attempt, and rising.
pub fn message_id(posted: &Posted) -> String {
    let mut seq = posted.seq;
    if Seeded::WebhookIdPerAttempt.is_on() {
        seq += u64::from(posted.attempts);
    }
    format!("msg_{seq:016x}_{}", posted.delivery.id.simple())
}

pub async fn send(egress: &Egress, webhook: &Webhook, posted: &Posted, now: Timestamp) -> Sent {
    let failed = |error: String| Sent::Failed { error, wait: None };
    let port = match egress.check(&webhook.url) {
        Ok(port) => port,
        Err(refused) => return failed(refused.to_string()),
    };
    let Ok(client) = egress.client(port, Reuse::Keep) else {
        return failed("no HTTP client can be made".to_owned());
    };
    let (id, body) = (message_id(posted), posted.delivery.body.clone());
    let timestamp = now.as_micros() / 1_000_000;
    let request = client
        .post(webhook.url.clone())
        .timeout(TIMEOUT)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp)
        .header(
            "webhook-signature",
            signatures(&webhook.keys, &id, timestamp, &body),
        )
        .body(body);
    match request.send().await {
        Ok(response) => judge(&response),
        Err(error) => match refusal(&error) {
            Some(refused) => failed(refused.to_string()),
            None if error.is_timeout() => {
                failed(format!("no answer within {} s", TIMEOUT.as_secs()))
            }
            None if error.is_connect() => failed("it cannot be reached".to_owned()),
            None => failed("the connection broke".to_owned()),
        },
    }
}

fn judge(response: &Response) -> Sent {
    let status = response.status();
    if status.is_success() {
        return Sent::Accepted;
    }
    let error = format!("status {}", status.as_u16());
    if status == StatusCode::GONE {
        return Sent::Gone { error };
    }
    let asked = response.headers().get(RETRY_AFTER);
    let seconds = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Sent::Failed {
        error,
        wait: seconds.map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrgId;
    use domain::webhook::{Delivery, DeliveryState, Topic};
    use uuid::Uuid;

    #[test]
    fn every_attempt_has_the_messages_own_id() {
        let now = Timestamp::from_micros(0);
        let attempt = |attempts| Posted {
            seq: 7,
            org: OrgId::new("acme").unwrap(),
            delivery: Delivery {
                id: Uuid::from_u128(5),
                endpoint: "desk".to_owned(),
                topic: Topic::RunCompleted,
                body: "{}".to_owned(),
                at: now,
            },
            state: DeliveryState::Pending,
            attempts,
            due_at: now,
            last_error: None,
            delivered_at: None,
        };
        assert_eq!(message_id(&attempt(1)), message_id(&attempt(2)));
    }
}
