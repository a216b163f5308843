//! Tools that send one HTTP request: a template filled with arguments, and what the answer amounts to.
//! Where it may connect to is decided by `egress`.

mod header;
mod response;
mod send;
mod template;

pub use template::TemplateError;

use crate::config::HttpConfig;
use crate::egress::{Egress, Reuse};
use crate::error::ConfigError;
use crate::executor::{Definition, Ended, Executor, Work};
use crate::limits;
use domain::seeded::Seeded;
use domain::tool::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use header::{Header, header};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use send::Failed;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use template::{Body, Missing, Text, UrlTemplate};
use tokio::time::timeout_at;

/// `kind = "http"`.
pub(crate) struct HttpTool {
    name: String,
    method: Method,
    url: UrlTemplate,
    query: Vec<(String, Text)>,
    headers: Vec<(HeaderName, Header)>,
    body: Option<Body>,
    redirects: usize,
    effect: Effect,
    parameters: BTreeSet<String>,
    egress: Arc<Egress>,
    identity: Value,
}

impl HttpTool {
    #[expect(
        clippy::too_many_lines,
        reason = "one check after the other, each with its own refusal"
    )]
    pub(crate) fn build(
        definition: &Definition,
        config: &HttpConfig,
        egress: &Arc<Egress>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let tool = definition.name.clone();
        let wrong = |place: &str| {
            let (tool, place) = (tool.clone(), place.to_owned());
            move |source| ConfigError::Template {
                tool,
                place,
                source,
            }
        };
        let method = Method::from_bytes(config.method.as_bytes())
            .ok()
            .filter(|method| METHODS.contains(method))
            .ok_or_else(|| ConfigError::Range {
                tool: tool.clone(),
                setting: "method",
                allowed: "GET, HEAD, POST, PUT, PATCH or DELETE",
            })?;
        let may_redirect = matches!(method, Method::GET | Method::HEAD);
        if config.redirects
            > if may_redirect {
                limits::REDIRECTS_MAX
            } else {
                0
            }
        {
            return Err(ConfigError::Range {
                tool,
                setting: "redirects",
                allowed: "at most 5, and 0 but for GET and HEAD",
            });
        }
        let url = UrlTemplate::parse(&config.url).map_err(wrong("`url`"))?;
        let mut parameters: BTreeSet<String> = url.parameters().map(str::to_owned).collect();
        let mut query = Vec::new();
        for (key, template) in &config.query {
            let text = Text::parse(template).map_err(wrong(&format!("`query.{key}`")))?;
            parameters.extend(text.parameters().map(str::to_owned));
            query.push((key.clone(), text));
        }
        let mut headers = Vec::new();
        for (key, setting) in &config.headers {
            let (name, header) = header(&tool, key, setting, env)?;
            if let Header::Filled(text) = &header {
                parameters.extend(text.parameters().map(str::to_owned));
            }
            headers.push((name, header));
        }
        let body = config.body.as_ref().map(Body::parse).transpose();
        let body = body.map_err(wrong("`body`"))?;
        if let Some(body) = &body {
            body.parameters(&mut parameters);
        }
        let headers_identity = config.headers.iter();
        let headers_identity: Map<String, Value> = headers_identity
            .map(|(name, setting)| (name.clone(), setting.identity()))
            .collect();
        let built = Self {
            identity: json!({
                "kind": "http",
                "method": config.method,
                "url": config.url,
                "query": config.query,
                "headers": headers_identity,
                "body": config.body,
                "redirects": config.redirects,
            }),
            name: tool.clone(),
            method,
            url,
            query,
            headers,
            body,
            redirects: config.redirects,
            effect: definition.effect,
            parameters,
            egress: Arc::clone(egress),
        };
        // Made now, so that a machine without usable certificates is found at the start.
        match egress.client(built.url.port(), built.reuse()) {
            Ok(_) => Ok(built),
            Err(source) => Err(ConfigError::Client { tool, source }),
        }
    }

    pub(crate) fn parameters(&self) -> &BTreeSet<String> {
        &self.parameters
    }

    /// Parameters without which there is no URL.
    pub(crate) fn in_path(&self) -> impl Iterator<Item = &str> {
        self.url.parameters()
    }

    fn reuse(&self) -> Reuse {
        match self.effect {
            Effect::Idempotent | Effect::Keyed => Reuse::Keep,
            Effect::Unsafe => Reuse::Never,
        }
    }

    /// The request for a call. An optional argument that is not there leaves out what it stands in.
    fn request(&self, work: &Work<'_>) -> Result<Request, String> {
        let value = |name: &str| work.value(name);
        let mut url = self.url.fill(&value)?;
        for (key, text) in &self.query {
            match text.fill_each(&value) {
                Ok(values) => {
                    let mut pairs = url.query_pairs_mut();
                    for value in values {
                        pairs.append_pair(key, &value);
                    }
                }
                Err(Missing) => continue,
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            "accept",
            HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.1"),
        );
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        for (name, header) in &self.headers {
            let filled = match header {
                Header::Secret(value) => value.clone(),
                Header::Filled(text) => match text.fill(&value) {
                    Ok(filled) => HeaderValue::from_str(&filled).map_err(|_| {
                        format!(
                            "an argument holds characters that cannot stand in the header `{name}`"
                        )
                    })?,
                    Err(Missing) => continue,
                },
            };
            headers.insert(name.clone(), filled);
        }
        if self.effect == Effect::Keyed
            && let Ok(key) = HeaderValue::from_str(work.call.key.as_str())
        {
            headers.insert("idempotency-key", key);
            if Seeded::KeyPerAttempt.is_on() {
                headers.insert("idempotency-key", HeaderValue::from(work.call.attempt));
            }
        }
        let mut request = Request::new(self.method.clone(), url);
        if let Some(body) = &self.body {
            let filled = body.fill(&value).unwrap_or_default();
            headers
                .entry("content-type")
                .or_insert(HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(filled.to_string().into());
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn carry(&self, work: Work<'_>) -> Ended {
        let deadline = Instant::now() + work.limit;
        let request = match self.request(&work) {
            Ok(request) => request,
            Err(why) => return Ended::Before { why },
        };
        let sent = timeout_at(deadline.into(), self.send_safely(request)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(Failed::Before(why))) => return Ended::Before { why },
            Ok(Err(Failed::Redirect(why))) => {
                return Ended::Answered {
                    value: json!({ "message": why }),
                    is_error: true,
                };
            }
            Ok(Err(Failed::Cut)) => {
                return self.unknown(&work, "the connection ended before an answer");
            }
            Err(_) => {
                let seconds = work.limit.as_secs_f64();
                return self.unknown(&work, &format!("no answer within {seconds:.1} s"));
            }
        };
        response::read(response, work.result_bytes_max, deadline).await
    }

    /// What is known of a request that got no answer; without the arguments, which may be secret.
    fn unknown(&self, work: &Work<'_>, what: &str) -> Ended {
        Ended::Unknown {
            evidence: format!(
                "`{}` sent {} {} and got {what}; whether it took effect is not known (call key {})",
                self.name,
                self.method,
                self.url.shown(),
                work.call.key
            ),
        }
    }
}

impl Executor for HttpTool {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        self.carry(work).boxed()
    }

    fn identity(&self) -> Value {
        self.identity.clone()
    }
}

const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];
