//! A response that was made already, or a part of it, told again from what is kept: for a request that is sent again.

use super::chain::Link;
use super::{InferEvent, Inference};
use domain::message::Message;
use domain::response::ResponseId;
use futures::StreamExt;
use std::sync::Arc;

/// The whole of a response. `links` are its rounds and, at the end, the response.
pub(super) fn inference(id: ResponseId, links: &[Arc<Link>]) -> Inference {
    let first = &links
        .first()
        .expect("a response that was made has a round")
        .response;
    Inference {
        id,
        message_id: first.output.id,
        started_at: first.created_at,
        events: futures::stream::iter(events(links)).boxed(),
    }
}

/// What a client was told of these, in order.
pub(super) fn events(links: &[Arc<Link>]) -> Vec<InferEvent> {
    let mut events = Vec::new();
    for (index, link) in links.iter().enumerate() {
        results(link, &mut events);
        let response = &link.response;
        let output = &response.output;
        if index > 0 {
            events.push(InferEvent::Round(output.id));
        }
        if let Some(reasoning) = output.reasoning.as_ref().filter(|it| !it.text.is_empty()) {
            events.push(InferEvent::Reasoning(reasoning.text.clone()));
        }
        let text = output.content.text();
        if !text.is_empty() {
            events.push(InferEvent::Text(text));
        }
        let response = Box::new(response.as_ref().clone());
        events.push(if response.runs_tools {
            InferEvent::Asked(response)
        } else {
            InferEvent::Done(response)
        });
    }
    events
}

/// The results of the round before: the next one's input begins with them.
fn results(link: &Link, events: &mut Vec<InferEvent>) {
    let Some(before) = link.parent().filter(|before| before.response.runs_tools) else {
        return;
    };
    for call in &before.response.output.tool_calls {
        let answers = |message: &&Message| message.tool_call_id.as_ref() == Some(&call.id);
        if let Some(result) = link.response.input.iter().find(answers) {
            events.push(InferEvent::Called {
                call: call.clone(),
                content: result.content.text(),
                is_error: result.is_error,
            });
        }
    }
}
