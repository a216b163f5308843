//! Lanes from the variables that people have set already for other programs. A pure function: who reads the environment
//! hands a look-up in.

use crate::config::{ConfigError, LaneConfig, Wire};
use domain::lane::LaneKind;
use secrecy::SecretString;
use url::Url;

/// Models for an agent that names none, the first by preference; the patterns let agents name any other of the family.
const OPENAI: [&str; 5] = ["gpt-5.4-mini", "gpt-*", "o*", "chatgpt-*", "codex-*"];
const ANTHROPIC: [&str; 2] = ["claude-sonnet-5", "claude-*"];
const GEMINI: [&str; 3] = ["gemini-flash-latest", "gemini-*", "gemma-*"];

/// Lanes for `OPENAI_API_KEY` (`OPENAI_BASE_URL`), `ANTHROPIC_API_KEY` (`ANTHROPIC_BASE_URL`), `GEMINI_API_KEY` or
/// `GOOGLE_API_KEY` (`GEMINI_BASE_URL`) and `OLLAMA_HOST`, in this order. `RUNYARD_MODEL` goes before the default model
/// of the lane whose family it is of, or of the first lane. A lane that is left without a model (another server at
/// `OPENAI_BASE_URL`, Ollama) takes any name; [`crate::with_listed_models`] finds out which it has.
pub fn lanes_from_env(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<LaneConfig>, ConfigError> {
    let get = |name: &str| {
        let value = lookup(name)?.trim().to_owned();
        Some(value).filter(|value| !value.is_empty())
    };
    let mut lanes = Vec::new();
    let openai = (get("OPENAI_API_KEY"), get("OPENAI_BASE_URL"));
    if openai.0.is_some() || openai.1.is_some() {
        lanes.push(openai_lane(openai.0, openai.1));
    }
    if let Some(key) = get("ANTHROPIC_API_KEY") {
        let mut lane = cloud("anthropic", Wire::Anthropic, &ANTHROPIC, Some(key));
        lane.base_url = get("ANTHROPIC_BASE_URL");
        lanes.push(lane);
    }
    if let Some(key) = get("GEMINI_API_KEY").or_else(|| get("GOOGLE_API_KEY")) {
        let mut lane = cloud("gemini", Wire::Gemini, &GEMINI, Some(key));
        lane.base_url = get("GEMINI_BASE_URL");
        lanes.push(lane);
    }
    if let Some(host) = get("OLLAMA_HOST") {
        let mut lane = LaneConfig::new("ollama", LaneKind::Local, Wire::Ollama);
        lane.base_url = Some(ollama_url(&host));
        lane.kind = kind_of(lane.base_url.as_deref());
        lanes.push(lane);
    }
    if let Some(model) = get("RUNYARD_MODEL") {
        prefer(&mut lanes, model);
    }
    for lane in &lanes {
        lane.validate()?;
    }
    Ok(lanes)
}

fn cloud(name: &str, wire: Wire, models: &[&str], key: Option<String>) -> LaneConfig {
    let mut lane = LaneConfig::new(name, LaneKind::Cloud, wire);
    lane.models = models.iter().map(|&model| model.to_owned()).collect();
    lane.api_key = key.map(SecretString::from);
    lane
}

/// Another server than OpenAI's own has other models, which only it can tell.
fn openai_lane(key: Option<String>, base_url: Option<String>) -> LaneConfig {
    let own = base_url
        .as_deref()
        .is_none_or(|url| url.contains("api.openai.com"));
    let models: &[&str] = if own { &OPENAI } else { &[] };
    let mut lane = cloud("openai", Wire::OpenaiChat, models, key);
    lane.kind = kind_of(base_url.as_deref());
    lane.base_url = base_url;
    lane
}

/// A server at a loopback or private address, or one named without a dot, is beside this one.
fn kind_of(url: Option<&str>) -> LaneKind {
    let url = url.and_then(|url| Url::parse(url).ok());
    let local = match url.as_ref().and_then(Url::host) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_unspecified(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Some(url::Host::Domain(name)) => !name.contains('.') || name.ends_with(".local"),
        None => false,
    };
    if local {
        LaneKind::Local
    } else {
        LaneKind::Cloud
    }
}

/// `OLLAMA_HOST` as Ollama reads it: host, host and port, or an address; an unspecified address is what it listens at,
/// and is reached at the loopback.
fn ollama_url(host: &str) -> String {
    let url = if host.contains("://") {
        host.to_owned()
    } else {
        format!("http://{host}")
    };
    let Ok(mut parsed) = Url::parse(&url) else {
        return url;
    };
    if matches!(parsed.host_str(), Some("0.0.0.0" | "[::]"))
        && parsed.set_host(Some("127.0.0.1")).is_err()
    {
        return url;
    }
    // A port of 80 that is written out is lost in parsing; nobody runs Ollama there without a scheme.
    if parsed.port().is_none() && !host.contains("://") && parsed.set_port(Some(11_434)).is_err() {
        return url;
    }
    parsed.to_string().trim_end_matches('/').to_owned()
}

fn prefer(lanes: &mut [LaneConfig], model: String) {
    let family = lanes
        .iter()
        .position(|lane| !lane.models.is_empty() && lane.serves(&model));
    let any = lanes.iter().position(|lane| lane.models.is_empty());
    if let Some(index) = family.or(any).or(Some(0).filter(|_| !lanes.is_empty())) {
        let models = &mut lanes[index].models;
        // A lane that takes any name still does.
        if models.is_empty() {
            models.push("*".to_owned());
        }
        models.retain(|other| *other != model);
        models.insert(0, model);
    }
}

#[cfg(test)]
mod tests;
