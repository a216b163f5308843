//! Whether a lane can work, found out by asking its provider for the models, and said in a sentence that a person can
//! act on. No conversation is sent and nothing is spent.

use crate::client::Clients;
use crate::config::{LaneConfig, Wire};
use crate::detect::{Listed, list};
use crate::lane::Remote;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(5);

/// A lane that can work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What was found, in a sentence.
    pub message: String,
    /// The models that the provider lists, as far as it does.
    pub models: Vec<String>,
}

/// A lane that cannot. Never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {mend}")]
pub struct ProbeError {
    pub what: String,
    /// What to change.
    pub mend: String,
}

fn error(what: impl Into<String>, mend: impl Into<String>) -> ProbeError {
    ProbeError {
        what: what.into(),
        mend: mend.into(),
    }
}

/// Asks the lane's provider, for at most five seconds.
pub async fn probe(lane: &LaneConfig) -> Result<Probe, ProbeError> {
    probe_within(lane, WAIT).await
}

/// Asks the lane's provider, for at most `wait`.
pub async fn probe_within(lane: &LaneConfig, wait: Duration) -> Result<Probe, ProbeError> {
    let mut clients = Clients::default();
    let remote = lane
        .validate()
        .and_then(|()| Remote::new(lane, &mut clients));
    let remote = match remote {
        Ok(Some(remote)) => remote,
        Ok(None) => return Ok(nothing_to_reach(lane)),
        Err(wrong) => return Err(error(wrong.to_string(), "change the lane's settings")),
    };
    let host = remote.base.host_str().unwrap_or_default().to_owned();
    let place = match remote.base.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    match list(&remote, wait).await {
        Listed::Models(models) => judged(lane, &place, models),
        Listed::Refused(status) => Err(refused(lane, &place, status)),
        Listed::Strange => Err(error(
            format!("something answers at {place}, but not with a list of models"),
            "check that base_url ends where the API begins, and that wire is right",
        )),
        Listed::TimedOut => Err(error(
            format!("{place} did not answer within {} ms", wait.as_millis()),
            "check that it runs and that nothing in between blocks it",
        )),
        Listed::Unreachable => Err(error(
            format!("nothing can be reached at {place}"),
            match lane.wire {
                Some(Wire::Ollama) => "start it with `ollama serve`",
                _ => "check that it runs and that base_url is right",
            },
        )),
    }
}

fn nothing_to_reach(lane: &LaneConfig) -> Probe {
    let message = if lane.wire == Some(Wire::Offline) {
        "built in; it needs no provider, and is no language model"
    } else {
        "its model runs with the client; there is nothing to reach from here"
    };
    Probe {
        message: message.to_owned(),
        models: Vec::new(),
    }
}

fn judged(lane: &LaneConfig, place: &str, models: Vec<String>) -> Result<Probe, ProbeError> {
    // Ollama says `name:latest` of what everybody calls `name`.
    let plain = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let has = |model: &String| models.iter().any(|name| plain(name) == plain(model));
    let missing = lane.exact_models().filter(|model| !has(model));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        let mend = match (lane.wire, models.first()) {
            (Some(Wire::Ollama), _) => format!("run `ollama pull {}`", missing[0]),
            (_, Some(one)) => format!("change models; there is, for instance, {one}"),
            (_, None) => "load one there, or change models".to_owned(),
        };
        let missing = missing.join(", ");
        return Err(error(
            format!("{place} answers, but has no model {missing}"),
            mend,
        ));
    }
    if models.is_empty() {
        return Err(error(
            format!("{place} answers, but has no model"),
            "load one there",
        ));
    }
    let message = match models.len() {
        1 => format!("{place} answers and has one model"),
        count => format!("{place} answers and has {count} models"),
    };
    Ok(Probe { message, models })
}

fn refused(lane: &LaneConfig, place: &str, status: u16) -> ProbeError {
    let key = match (&lane.api_key_env, &lane.api_key) {
        (Some(variable), Some(_)) => format!("check the key in {variable}"),
        (None, Some(_)) => "check the key".to_owned(),
        (_, None) => "set api_key_env to the variable that holds one".to_owned(),
    };
    // Gemini answers 400 to a key that is wrong.
    let is_key = matches!(status, 401 | 403) || status == 400 && lane.wire == Some(Wire::Gemini);
    if is_key {
        let what = match lane.api_key {
            Some(_) => format!("{place} does not accept the key (HTTP {status})"),
            None => format!("{place} wants a key (HTTP {status})"),
        };
        return error(what, key);
    }
    let what = format!("{place} answers with HTTP {status}");
    match status {
        404 => error(what, "check that base_url ends where the API begins"),
        429 => error(what, "it asks to slow down; try again later"),
        300..=399 => error(what, "it redirects; use the address that it leads to"),
        _ => error(what, "see the provider's status page or its log"),
    }
}
