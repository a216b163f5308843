//! Headers that the configuration sets: texts with names in braces, or secrets from the environment.

use super::template::{TemplateError, Text};
use crate::config::Setting;
use crate::error::ConfigError;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

pub(super) enum Header {
    /// From the environment; never shown.
    Secret(HeaderValue),
    Filled(Text),
}

/// Headers that the connection or the gateway writes itself.
const OWN_HEADERS: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads one entry of `headers`.
pub(super) fn header(
    tool: &str,
    key: &str,
    setting: &Setting,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(HeaderName, Header), ConfigError> {
    let wrong = |source| ConfigError::Template {
        tool: tool.to_owned(),
        place: format!("`headers.{key}`"),
        source,
    };
    let name = HeaderName::from_bytes(key.as_bytes())
        .ok()
        .filter(|name| !OWN_HEADERS.contains(&name.as_str()))
        .ok_or_else(|| wrong(TemplateError::HeaderName))?;
    let header = match setting {
        Setting::Literal(template) => {
            let text = Text::parse(template).map_err(&wrong)?;
            if HeaderValue::from_str(template).is_err() {
                return Err(wrong(TemplateError::HeaderValue));
            }
            Header::Filled(text)
        }
        Setting::Env { .. } => {
            let value = setting
                .resolve(env)
                .map_err(|variable| ConfigError::Unset {
                    owner: format!("tool `{tool}`"),
                    variable,
                })?;
            let mut value = HeaderValue::from_str(value.expose_secret())
                .map_err(|_| wrong(TemplateError::HeaderValue))?;
            value.set_sensitive(true);
            Header::Secret(value)
        }
    };
    Ok((name, header))
}
