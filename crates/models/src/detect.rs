//! Finds model servers that run beside this one, and the models of a lane that names none. It is told where to look,
//! and asks for nothing but the list of models.

use crate::client::Clients;
use crate::config::{LaneConfig, Wire};
use crate::lane::Remote;
use domain::lane::LaneKind;
use futures::future::join_all;
use reqwest::Response;
use serde_json::Value;
use std::time::Duration;

/// Bytes of a list of models.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Models of one list that are kept.
const LIST_MAX: usize = 1_000;

/// A place where a model server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The name of the lane if it is there.
    pub name: String,
    pub wire: Wire,
    pub base_url: String,
}

/// Where Ollama, LM Studio, llama.cpp and vLLM listen unless told otherwise.
pub fn usual_places() -> Vec<Candidate> {
    let place = |name: &str, wire, base_url: &str| Candidate {
        name: name.to_owned(),
        wire,
        base_url: base_url.to_owned(),
    };
    vec![
        place("ollama", Wire::Ollama, "http://127.0.0.1:11434"),
        place("lm-studio", Wire::OpenaiChat, "http://127.0.0.1:1234/v1"),
        place("llama-cpp", Wire::OpenaiChat, "http://127.0.0.1:8080/v1"),
        place("vllm", Wire::OpenaiChat, "http://127.0.0.1:8000/v1"),
    ]
}

/// Looks in the usual places, for at most half a second.
pub async fn detect() -> Vec<LaneConfig> {
    detect_at(usual_places(), Duration::from_millis(500)).await
}

/// Asks all candidates at once, each for at most `wait`, and returns a lane for each that answers with at least one
/// model that can hold a conversation, in the order given. Anything else at such a port is left alone.
pub async fn detect_at(candidates: Vec<Candidate>, wait: Duration) -> Vec<LaneConfig> {
    let mut clients = Clients::default();
    let asked = candidates.into_iter().filter_map(|candidate| {
        let mut lane = LaneConfig::new(candidate.name, LaneKind::Local, candidate.wire);
        lane.base_url = Some(candidate.base_url);
        lane.timeouts.connect_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let remote = Remote::new(&lane, &mut clients).ok().flatten()?;
        Some(async move {
            let Listed::Models(models) = list(&remote, wait).await else {
                return None;
            };
            lane.models = models;
            // The short time was for finding out whether anybody is there.
            lane.timeouts = crate::Timeouts::default();
            (!lane.models.is_empty()).then_some(lane)
        })
    });
    let asked: Vec<_> = asked.collect();
    join_all(asked).await.into_iter().flatten().collect()
}

/// The lane with the models that its provider lists, if it named none that can be chosen by itself: an agent that names
/// no model needs one. Asks for at most `wait`; the lane is unchanged if there is no answer.
pub async fn with_listed_models(mut lane: LaneConfig, wait: Duration) -> LaneConfig {
    let is_settled = lane.exact_models().next().is_some();
    let mut clients = Clients::default();
    if !is_settled
        && let Ok(Some(remote)) = Remote::new(&lane, &mut clients)
        && let Listed::Models(models) = list(&remote, wait).await
    {
        lane.models.splice(0..0, models);
    }
    lane
}

/// What came of asking for the models.
#[derive(Debug)]
pub(crate) enum Listed {
    Models(Vec<String>),
    /// It answered, with this error status.
    Refused(u16),
    /// It answered, but with no list of models.
    Strange,
    TimedOut,
    Unreachable,
}

pub(crate) async fn list(remote: &Remote, wait: Duration) -> Listed {
    let asking = async {
        let request = remote
            .client
            .get(remote.wire.models_url(&remote.base))
            .headers(remote.headers.clone());
        let response = match request.send().await {
            Err(error) if error.is_timeout() => return Listed::TimedOut,
            Err(_) => return Listed::Unreachable,
            Ok(response) => response,
        };
        if !response.status().is_success() {
            return Listed::Refused(response.status().as_u16());
        }
        match body(response).await.as_ref().and_then(models) {
            Some(models) => Listed::Models(models),
            None => Listed::Strange,
        }
    };
    let asked = tokio::time::timeout(wait, asking).await;
    asked.unwrap_or(Listed::TimedOut)
}

async fn body(mut response: Response) -> Option<Value> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > LIST_BYTES_MAX {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

/// `{"data":[{"id":…}]}` with OpenAI, its copies and Anthropic; `{"models":[{"name":…}]}` with Ollama and Gemini, where
/// a name begins with `models/`.
fn models(list: &Value) -> Option<Vec<String>> {
    let (entries, field) = match (list["data"].as_array(), list["models"].as_array()) {
        (Some(data), _) => (data, "id"),
        (None, Some(models)) => (models, "name"),
        (None, None) => return None,
    };
    let names = entries.iter().filter_map(|entry| entry[field].as_str());
    let names = names.map(|name| name.strip_prefix("models/").unwrap_or(name));
    // Servers list these beside the models that talk, often first.
    let talks = |name: &&str| !name.contains("embed") && !name.contains("rerank");
    let mut models: Vec<String> = Vec::new();
    for name in names.filter(talks).take(LIST_MAX) {
        // Ollama lists `name:latest` and answers to `name`, which is what people write.
        models.extend(name.strip_suffix(":latest").map(str::to_owned));
        models.push(name.to_owned());
    }
    Some(models)
}
