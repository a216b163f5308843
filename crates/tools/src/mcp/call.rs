//! One call of a server's tool: which connection it goes over, whether it is still the trusted tool, and what its end
//! means for the effect.

use super::content;
use super::lines::TOO_LONG;
use super::link::{Link, Up};
use super::remote::behind;
use super::server::Server;
use crate::executor::{Ended, Executor, Work};
use domain::tool::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use rmcp::service::ServiceError;
use rmcp::transport::auth::AuthError;
use rmcp::transport::streamable_http_client::{
    HttpStatusError, InsufficientScopeError, StreamableHttpError,
};
use serde_json::{Value, json};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Where a server finds the key of a call, to recognise one that is made again.
pub const KEY_FIELD: &str = "runyard/idempotencyKey";

/// The executor of one tool of one server.
pub(super) struct McpCall {
    pub server: Arc<Server>,
    /// The server's name for it.
    pub tool: String,
    /// Of the definition that is trusted.
    pub digest: String,
    pub effect: Effect,
}

/// What an attempt came to.
enum Attempt {
    Ended(Ended),
    /// The connection ended under it.
    Cut,
}

impl McpCall {
    async fn carry(&self, work: Work<'_>) -> Ended {
        let until = Instant::now() + work.limit;
        let link = match self.server.link(work.scope.org()) {
            Ok(link) => link,
            Err(why) => return Ended::Before { why },
        };
        let acquired = timeout(work.limit, self.server.permits.acquire()).await;
        let Ok(Ok(_permit)) = acquired else {
            let name = &self.server.name;
            return Ended::Before {
                why: format!(
                    "too many calls of the MCP server `{name}` are running; nothing was sent"
                ),
            };
        };
        match self.attempt(link, &work, until).await {
            Attempt::Ended(ended) => ended,
            // It may be repeated, and most servers are back at once.
            Attempt::Cut if self.effect != Effect::Unsafe => {
                match self.attempt(link, &work, until).await {
                    // The first may have arrived.
                    Attempt::Ended(Ended::Before { .. }) | Attempt::Cut => self.cut(&work),
                    Attempt::Ended(ended) => ended,
                }
            }
            Attempt::Cut => self.cut(&work),
        }
    }

    async fn attempt(&self, link: &Link, work: &Work<'_>, until: Instant) -> Attempt {
        let left = || until.saturating_duration_since(Instant::now());
        let up = match link.up(left()).await {
            Ok(up) => up,
            Err(why) => {
                return Attempt::Ended(Ended::Before {
                    why: format!(
                        "the MCP server `{}` cannot be used now: {why}",
                        self.server.name
                    ),
                });
            }
        };
        if let Err(why) = self.same(&up) {
            return Attempt::Ended(Ended::Before { why });
        }
        let called = up.connection.peer().call_tool_once(self.request(work));
        // Dropped by the timeout or from outside, it tells the server that the call is cancelled.
        match timeout(left(), called).await {
            Ok(Ok(response)) => Attempt::Ended(answered(response)),
            Ok(Err(error)) => self.failed(error),
            Err(_) => Attempt::Ended(self.late(work)),
        }
    }

    /// The definition is looked at before each call, on the very connection that it goes over.
    fn same(&self, up: &Up) -> Result<(), String> {
        match up.digest(&self.tool) {
            Some(digest) if digest == self.digest => Ok(()),
            Some(_) => Err(format!(
                "the MCP server `{}` has changed what this tool is; an operator must accept it first",
                self.server.name
            )),
            None => Err(format!(
                "the MCP server `{}` does not offer this tool any more",
                self.server.name
            )),
        }
    }

    fn request(&self, work: &Work<'_>) -> CallToolRequestParams {
        let mut meta = RequestMetaObject::new();
        let key = Value::from(work.call.key.as_str());
        meta.0.0.insert(KEY_FIELD.to_owned(), key);
        let mut params =
            CallToolRequestParams::new(self.tool.clone()).with_arguments(work.arguments.clone());
        params.meta = Some(meta);
        params
    }

    /// An error instead of an answer: from it follows whether the server may have acted.
    fn failed(&self, error: ServiceError) -> Attempt {
        let name = &self.server.name;
        let answered = |told: Value| {
            Attempt::Ended(Ended::Answered {
                value: told,
                is_error: true,
            })
        };
        let before = |why: String| Attempt::Ended(Ended::Before { why });
        match &error {
            ServiceError::McpError(error) if error.code == TOO_LONG => {
                answered(json!({ "message": error.message }))
            }
            ServiceError::McpError(error) => answered(json!({
                "message": error.message,
                "code": error.code.0,
            })),
            ServiceError::UnexpectedResponse => {
                answered(json!({ "message": "the server's answer is not one to a call of a tool" }))
            }
            ServiceError::TransportSend(_) => {
                if error.is_authorization_required() {
                    return before(format!("the MCP server `{name}` asks for credentials"));
                }
                match Sending::of(&error) {
                    Sending::Never => before(format!(
                        "the MCP server `{name}` cannot be reached; nothing was sent"
                    )),
                    Sending::Unauthorized(why) => {
                        before(format!("the MCP server `{name}` was not asked: {why}"))
                    }
                    Sending::Refused(why) => before(format!("egress refused: {why}")),
                    Sending::Answered(told) => answered(json!({ "message": told })),
                    Sending::Perhaps => Attempt::Cut,
                }
            }
            _ => Attempt::Cut,
        }
    }

    fn cut(&self, work: &Work<'_>) -> Ended {
        self.unknown(work, "its connection ended before an answer")
    }

    fn late(&self, work: &Work<'_>) -> Ended {
        let seconds = work.limit.as_secs_f64();
        self.unknown(work, &format!("it did not answer within {seconds:.1} s"))
    }

    fn unknown(&self, work: &Work<'_>, what: &str) -> Ended {
        Ended::Unknown {
            evidence: format!(
                "`{}` was sent to the MCP server `{}` as `{}`, but {what}; whether it took effect is not known (call key {})",
                work.call.name, self.server.name, self.tool, work.call.key
            ),
        }
    }
}

/// What is known of a request that the transport failed to carry.
enum Sending {
    Never,
    /// There is no token for it, or none that is enough.
    Unauthorized(String),
    Refused(String),
    Answered(String),
    Perhaps,
}

impl Sending {
    fn of(error: &ServiceError) -> Self {
        let mut at: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = at {
            if let Some(refused) = crate::egress::refusal(cause) {
                return Self::Refused(refused.to_string());
            }
            if let Some(status) = cause.downcast_ref::<HttpStatusError>() {
                return Self::Answered(format!(
                    "the server answered with status {}",
                    status.status
                ));
            }
            match cause.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
                Some(StreamableHttpError::Auth(AuthError::AuthorizationFailed(why))) => {
                    return Self::Unauthorized(why.clone());
                }
                Some(StreamableHttpError::InsufficientScope(scope)) => {
                    return Self::Unauthorized(lacks(scope));
                }
                Some(StreamableHttpError::Client(error)) if error.is_connect() => {
                    let refused = crate::egress::refusal(error);
                    return refused.map_or(Self::Never, |why| Self::Refused(why.to_string()));
                }
                Some(StreamableHttpError::SessionExpired) => return Self::Never,
                Some(StreamableHttpError::ResponseBodyTooLarge { max_size }) => {
                    return Self::Answered(format!(
                        "the answer is longer than {max_size} bytes and was not read"
                    ));
                }
                Some(
                    StreamableHttpError::UnexpectedServerResponse(_)
                    | StreamableHttpError::UnexpectedContentType(_)
                    | StreamableHttpError::Deserialize(_),
                ) => return Self::Answered("the server's answer is not one".to_owned()),
                _ => {}
            }
            at = behind(cause);
        }
        Self::Perhaps
    }
}

/// The scope is the server's word: visible ASCII of it is shown.
fn lacks(error: &InsufficientScopeError) -> String {
    let scope = error.get_required_scope().unwrap_or_default();
    let scope: String = scope
        .chars()
        .filter(|it| (' '..='~').contains(it))
        .take(100)
        .collect();
    let which = if scope.is_empty() {
        String::new()
    } else {
        format!(" `{scope}`")
    };
    format!("the login does not reach so far; it takes one with the scope{which}")
}

fn answered(response: CallToolResponse) -> Ended {
    let refused = |message: &str| Ended::Answered {
        value: json!({ "message": message }),
        is_error: true,
    };
    match response {
        CallToolResponse::Complete(result) => {
            let (value, is_error) = content::value(result);
            Ended::Answered { value, is_error }
        }
        CallToolResponse::InputRequired(_) => refused(
            "the tool asks for more input in the middle of the call, which nobody here gives",
        ),
        _ => refused("the server made a task of the call, which was not asked for"),
    }
}

impl Executor for McpCall {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        self.carry(work).boxed()
    }
}
