//! A client of a running server, over the same HTTP API that everybody uses. It resumes a stream that breaks; it prints
//! nothing.

use super::events::Events;
use super::terminal::program;
use super::{Context, Failure, Target};
use crate::config;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::time::Duration;
use url::{Host, Url};
use uuid::Uuid;

pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const BASE: &str = "api/v1/agents";

/// Exit code where no answer of the server was had, or it refused the request.
pub const NO_ANSWER: u8 = 4;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Heartbeats come every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: SecretString,
}

impl Client {
    /// Finds the server and a key for it, without asking it.
    pub fn find(target: &Target, context: &Context) -> Result<Self, Failure> {
        let data = config::load_data(&target.places, &context.env, &context.here);
        let data = data.as_deref().ok();
        let named = target
            .url
            .clone()
            .or_else(|| context.env.get("RUNYARD_URL").map(str::to_owned));
        let text = named
            .or_else(|| data.and_then(local_url))
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let mut base = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Failure::new(
                    format!("{text:?} is no address of a server"),
                    format!("give one such as {DEFAULT_URL} with --url"),
                )
            })?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let given = target
            .key
            .clone()
            .or_else(|| context.env.get("RUNYARD_KEY").map(str::to_owned));
        let stored = || {
            let path = config::owner_key_path(data.filter(|_| is_loopback(&base))?);
            std::fs::read_to_string(path).ok()
        };
        let key = given.or_else(stored).ok_or_else(|| {
            Failure::new(
                format!("there is no API key for {text}"),
                "give one with --key or RUNYARD_KEY; `runyard keys create --name NAME` makes one on the server's machine",
            )
        })?;
        Self::new(base, key.trim())
    }

    pub fn new(base: Url, key: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .tcp_nodelay(true)
            .user_agent(concat!("runyard/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Failure::new(
                    "no HTTP client can be made",
                    "check the system's certificates",
                )
                .because(&error)
            })?;
        Ok(Self {
            http,
            base,
            key: SecretString::from(key),
        })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let response = self.send(Method::GET, path, None).await?;
        self.json(response).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let response = self.send(Method::POST, path, Some(body)).await?;
        self.json(response).await
    }

    /// The new thread's id.
    pub async fn create_thread(&self, agent_type: &str) -> Result<String, Failure> {
        let thread = self
            .post("threads", &json!({ "agent_type": agent_type }))
            .await?;
        text(&thread, "id").ok_or_else(|| strange("the new thread has no id"))
    }

    /// Starts a run and gives its stream. `options` are added to the request's body.
    pub async fn start_run(
        &self,
        thread: &str,
        input: &str,
        mut options: Map<String, Value>,
    ) -> Result<Events, Failure> {
        options.insert("input".to_owned(), Value::from(input));
        let path = format!("threads/{thread}/runs");
        let response = self
            .send(Method::POST, &path, Some(&Value::Object(options)))
            .await?;
        let location = response.headers().get("content-location");
        let run_id = location
            .and_then(|place| place.to_str().ok())
            .and_then(|place| place.rsplit('/').next())
            .ok_or_else(|| strange("the answer does not name the run"))?
            .to_owned();
        Ok(Events::of(run_id, response))
    }

    /// Cancels a run. One that has ended meanwhile is as good.
    pub async fn cancel(&self, run_id: &str) -> Result<(), Failure> {
        let path = format!("runs/{run_id}/cancel");
        let body = json!({ "reason": "cancelled at the terminal" });
        let response = self.request(Method::POST, &path, Some(&body)).await?;
        if response.status() == StatusCode::CONFLICT {
            return Ok(());
        }
        self.accepted(response).await.map(|_| ())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let response = self.request(method, path, body).await?;
        self.accepted(response).await
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let url = self.base.join(&format!("{BASE}/{path}")).map_err(|error| {
            Failure::new("an id is not fit for an address", "check it").because(&error)
        })?;
        self.ask(method, url, body).await
    }

    /// A link that opens the console signed in, once, on the server's machine.
    pub async fn sign_in_link(&self) -> Result<String, Failure> {
        let url = self.base.join("console/tickets").map_err(|error| {
            Failure::new("the address is no server's", "check it").because(&error)
        })?;
        let answer = self.ask(Method::POST, url, None).await?;
        let answer = self.json(self.accepted(answer).await?).await?;
        let ticket = text(&answer, "ticket").ok_or_else(|| strange("the answer has no ticket"))?;
        let base = self.base.as_str().trim_end_matches('/');
        Ok(super::sign_in_link(base, "/", &ticket))
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(self.key.expose_secret());
        if let Some(body) = body {
            // Random enough and the server's to forget after a day.
            request = request
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(body);
        }
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        if error.is_connect() {
            return Failure::new(
                format!("no server answers at {base}"),
                format!(
                    "start one in another terminal with `{} serve`, or name another with --url",
                    program()
                ),
            )
            .with_code(NO_ANSWER);
        }
        Failure::new(
            format!("the server at {base} did not answer"),
            "look into its log",
        )
        .because(error)
        .with_code(NO_ANSWER)
    }

    pub async fn accepted(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let code = text(&body, "code").unwrap_or_default();
        let message = text(&body, "message").unwrap_or_else(|| status.to_string());
        let what = format!("the server says: {}", message.trim_end_matches('.'));
        Err(Failure::new(what, mend(status, &code)).with_code(NO_ANSWER))
    }

    async fn json(&self, response: Response) -> Result<Value, Failure> {
        response
            .json()
            .await
            .map_err(|error| strange("the answer is no JSON").because(&error))
    }
}

fn mend(status: StatusCode, code: &str) -> &'static str {
    match (status.as_u16(), code) {
        (401, _) => {
            "give a key of this server with --key or RUNYARD_KEY; `runyard keys create --name NAME` makes one"
        }
        (403, _) => "use a key whose role allows this, such as developer",
        (404, _) => "check the id; it must be of the org that the key belongs to",
        (422, "unknown_agent_type") => {
            "`runyard agents list` shows the agents, `runyard agents check` what is wrong with them"
        }
        (409, "approval_already_resolved") => {
            "`runyard approvals show ID` shows the decision that stands"
        }
        (409, "arguments_changed") => "look at it again with `runyard approvals show ID`",
        (409, _) => "wait for the run that is under way, or cancel it",
        (429, _) => "wait a moment and try again",
        (500..=599, _) => "look into the server's log",
        _ => "check what was given",
    }
}

pub fn strange(what: &str) -> Failure {
    Failure::new(
        what,
        "check that the address is that of a Runyard server of this version",
    )
    .with_code(NO_ANSWER)
}

/// A text field of an object.
pub fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn local_url(data: &std::path::Path) -> Option<String> {
    let written = std::fs::read(config::server_file_path(data)).ok()?;
    text(&serde_json::from_slice(&written).ok()?, "url")
}

/// The owner's key never travels to another machine by itself.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
