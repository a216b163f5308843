//! An authorization server for a scripted MCP server, as the protocol's authorization chapter has it: metadata (RFC 8414),
//! registration (RFC 7591), codes with a verifier (RFC 7636), resources (RFC 8707), refresh tokens that are good for one
//! use. It says yes to whoever opens its page, and misbehaves on command.

use super::http::{reply_with, request};
use super::lock;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// What it does wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthFault {
    #[default]
    None,
    /// Renews nothing: `invalid_grant`.
    InvalidGrant,
    /// The token endpoint answers 500.
    Down,
    /// Its metadata name another issuer.
    WrongIssuer,
    /// Registers nobody.
    NoRegistration,
    /// The person says no.
    Denies,
    /// Sends the browser back with a state that nobody gave it.
    ForgedState,
    /// The token endpoint sends whoever asks to another server.
    Redirects,
}

#[derive(Clone)]
pub struct AuthServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

#[derive(Default)]
struct State {
    fault: AuthFault,
    /// Seconds; absent where it does not say.
    expires_in: Option<u64>,
    issued: u64,
    codes: HashMap<String, HashMap<String, String>>,
    access: HashSet<String>,
    refresh: HashSet<String>,
    renewals: usize,
    /// Path and body of every request.
    requests: Vec<(String, String)>,
    scope_demanded: Option<String>,
    elsewhere: String,
}

impl AuthServer {
    /// Listens at a free port of this machine.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("this machine has free ports");
        let address = listener.local_addr().expect("it listens");
        let state = State {
            expires_in: Some(3600),
            ..State::default()
        };
        let server = Self {
            state: Arc::new(Mutex::new(state)),
            address,
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let _ = serving.exchange(stream).await;
                });
            }
        });
        server
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn fail(&self, fault: AuthFault) {
        lock(&self.state).fault = fault;
    }

    /// Where `Redirects` leads.
    pub fn redirect_to(&self, elsewhere: &str) {
        elsewhere.clone_into(&mut lock(&self.state).elsewhere);
    }

    /// Of the tokens to come.
    pub fn lifetime(&self, seconds: Option<u64>) {
        lock(&self.state).expires_in = seconds;
    }

    /// No access token that was issued is good any more; refresh tokens are.
    pub fn expire_all(&self) {
        lock(&self.state).access.clear();
    }

    /// Calls need this scope from now on, which no token has.
    pub fn demand(&self, scope: &str) {
        lock(&self.state).scope_demanded = Some(scope.to_owned());
    }

    /// How often a refresh token was used, with or without success.
    pub fn renewals(&self) -> usize {
        lock(&self.state).renewals
    }

    /// Path and body of every request so far.
    pub fn requests(&self) -> Vec<(String, String)> {
        lock(&self.state).requests.clone()
    }

    pub(super) fn is_good(&self, token: &str) -> bool {
        lock(&self.state).access.contains(token)
    }

    pub(super) fn demanded(&self) -> Option<String> {
        lock(&self.state).scope_demanded.clone()
    }

    async fn exchange(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some((head, body)) = request(&mut stream).await? else {
            return Ok(());
        };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(&body).into_owned();
        lock(&self.state)
            .requests
            .push((target.clone(), body.clone()));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let fault = lock(&self.state).fault;
        match path {
            "/.well-known/oauth-authorization-server" => {
                let metadata = self.metadata(fault).to_string();
                reply_with(&mut stream, "200 OK", &[JSON], &metadata).await
            }
            "/register" => {
                let registered = json!({
                    "client_id": "registered",
                    "redirect_uris": serde_json::from_str::<Value>(&body).unwrap_or_default()["redirect_uris"],
                });
                reply_with(&mut stream, "201 Created", &[JSON], &registered.to_string()).await
            }
            "/authorize" => {
                let location = self.authorize(query, fault);
                reply_with(&mut stream, "302 Found", &[("location", &location)], "").await
            }
            "/token" if fault == AuthFault::Down => {
                reply_with(&mut stream, "500 Internal Server Error", &[], "").await
            }
            "/token" if fault == AuthFault::Redirects => {
                let elsewhere = lock(&self.state).elsewhere.clone();
                reply_with(
                    &mut stream,
                    "307 Temporary Redirect",
                    &[("location", &elsewhere)],
                    "",
                )
                .await
            }
            "/token" => {
                let (status, answer) = self.token(&form(&body), fault);
                reply_with(&mut stream, status, &[JSON], &answer.to_string()).await
            }
            _ => reply_with(&mut stream, "404 Not Found", &[], "").await,
        }
    }

    fn metadata(&self, fault: AuthFault) -> Value {
        let issuer = self.issuer();
        let mut metadata = json!({
            "issuer": if fault == AuthFault::WrongIssuer { "https://other.example" } else { &issuer },
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["read"],
            "authorization_response_iss_parameter_supported": true,
        });
        if fault != AuthFault::NoRegistration {
            metadata["registration_endpoint"] = json!(format!("{issuer}/register"));
        }
        metadata
    }

    /// Where the browser goes next.
    fn authorize(&self, query: &str, fault: AuthFault) -> String {
        let asked = form(query);
        let back = asked.get("redirect_uri").cloned().unwrap_or_default();
        let state = match fault {
            AuthFault::ForgedState => "forged".to_owned(),
            _ => asked.get("state").cloned().unwrap_or_default(),
        };
        if fault == AuthFault::Denies {
            return format!("{back}?error=access_denied&state={state}");
        }
        let mut held = lock(&self.state);
        held.issued += 1;
        let code = format!("code-{}", held.issued);
        held.codes.insert(code.clone(), asked);
        let issuer = self.issuer().replace(':', "%3A").replace('/', "%2F");
        format!("{back}?code={code}&state={state}&iss={issuer}")
    }

    fn token(&self, asked: &HashMap<String, String>, fault: AuthFault) -> (&'static str, Value) {
        let refused = || ("400 Bad Request", json!({ "error": "invalid_grant" }));
        let field = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let mut held = lock(&self.state);
        match field("grant_type") {
            "authorization_code" => {
                let Some(begun) = held.codes.remove(field("code")) else {
                    return refused();
                };
                let digest = Sha256::digest(field("code_verifier").as_bytes());
                let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest);
                let same = |name: &str| begun.get(name).map(String::as_str) == Some(field(name));
                let is_right = begun.get("code_challenge") == Some(&challenge)
                    && begun.get("code_challenge_method").map(String::as_str) == Some("S256")
                    && same("redirect_uri")
                    && same("client_id")
                    && same("resource")
                    && !field("resource").is_empty();
                if !is_right {
                    return refused();
                }
            }
            "refresh_token" => {
                held.renewals += 1;
                if fault == AuthFault::InvalidGrant || !held.refresh.remove(field("refresh_token"))
                {
                    return refused();
                }
            }
            _ => {
                return (
                    "400 Bad Request",
                    json!({ "error": "unsupported_grant_type" }),
                );
            }
        }
        held.issued += 1;
        let (access, refresh) = (
            format!("access-{}", held.issued),
            format!("refresh-{}", held.issued),
        );
        held.access.insert(access.clone());
        held.refresh.insert(refresh.clone());
        let mut answer = json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "scope": "read",
        });
        if let Some(seconds) = held.expires_in {
            answer["expires_in"] = json!(seconds);
        }
        ("200 OK", answer)
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn form(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&spaced);
    text.decode_utf8_lossy().into_owned()
}
