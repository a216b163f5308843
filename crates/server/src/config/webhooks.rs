//! `[[webhooks]]` of the file: who is told of what, and with which secrets. It sends nothing.

use super::ConfigError;
use super::layers::Layers;
use crate::webhooks::Key;
use domain::OrgId;
use domain::webhook::{Subscription, Topic};
use serde::Deserialize;
use std::collections::BTreeSet;
use url::Url;

/// One `[[webhooks]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTable {
    pub name: String,
    pub url: String,
    /// The environment variable that holds the secret; several while one takes another's place.
    pub secret_env: OneOrMany,
    /// Empty means all.
    #[serde(default)]
    pub events: Vec<Topic>,
    /// Only what happens in this org.
    #[serde(default)]
    pub org: Option<OrgId>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// An endpoint ready to be sent to.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub subscription: Subscription,
    pub url: Url,
    pub keys: Vec<Key>,
}

impl Layers<'_> {
    pub(super) fn webhooks(&self) -> Result<Vec<Webhook>, ConfigError> {
        let tables = self.file.map_or(&[][..], |file| &file.tables.webhooks);
        let mut webhooks: Vec<Webhook> = Vec::new();
        for entry in tables {
            let table = entry.get_ref();
            let invalid = |why: &str| {
                ConfigError::invalid(&self.place(entry), "webhooks", table.name.clone(), why)
            };
            let known = |webhook: &Webhook| webhook.subscription.endpoint == table.name;
            if webhooks.iter().any(known) {
                return Err(invalid("another webhook has this name; rename one"));
            }
            if table.name.is_empty() || table.name.len() > 64 {
                return Err(invalid("a name has 1 to 64 characters"));
            }
            let url = Url::parse(&table.url)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .ok_or_else(|| invalid("its url is no http or https address"))?;
            let names = match &table.secret_env {
                OneOrMany::One(name) => std::slice::from_ref(name),
                OneOrMany::Many(names) => names,
            };
            let mut keys = Vec::new();
            for name in names {
                let secret = self.env.get(name).ok_or_else(|| {
                    invalid(&format!("the environment variable `{name}` is not set"))
                })?;
                keys.push(Key::parse(secret).map_err(|error| {
                    invalid(&format!("the secret in `{name}` cannot be used: {error}"))
                })?);
            }
            if keys.is_empty() {
                return Err(invalid("it needs a secret: name a variable in secret_env"));
            }
            let topics: BTreeSet<Topic> = if table.events.is_empty() {
                Topic::ALL.into()
            } else {
                table.events.iter().copied().collect()
            };
            webhooks.push(Webhook {
                subscription: Subscription {
                    endpoint: table.name.clone(),
                    org: table.org.clone(),
                    topics,
                },
                url,
                keys,
            });
        }
        Ok(webhooks)
    }
}
