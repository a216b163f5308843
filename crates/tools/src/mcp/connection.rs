//! A conversation with one server: the handshake of either era, its list of tools, and its notices of changes.
//! Whatever else the server asks for is declined: it gets no model, no files and no questions to people.

use super::config::Protocol;
use crate::limits;
use domain::pin::ToolOffer;
use rmcp::RoleClient;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientResult, ErrorCode, ErrorData, Implementation,
    PaginatedRequestParams, ProtocolVersion, ServerNotification, ServerRequest, SubscriptionFilter,
    Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, NotificationContext, Peer, RequestContext, Service,
    ServiceError, serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::Transport;
use serde_json::Value;
use std::collections::HashSet;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An open conversation. It ends when this is dropped.
pub(super) struct Connection {
    peer: Peer<RoleClient>,
    changed: Arc<Notify>,
    over: CancellationToken,
    _stop: DropGuard,
}

impl Connection {
    /// Shakes hands, or asks whether that is wanted.
    pub(super) async fn open<T>(
        transport: T,
        protocol: Protocol,
    ) -> Result<Self, ClientInitializeError>
    where
        T: Transport<RoleClient> + 'static,
    {
        let stop = CancellationToken::new();
        let changed = Arc::new(Notify::new());
        let listener = Listener {
            changed: Arc::clone(&changed),
            noise: Mutex::new((Instant::now(), 0)),
            stop: stop.clone(),
        };
        let lifecycle = lifecycle(protocol);
        let guard = stop.clone().drop_guard();
        let running =
            serve_client_with_lifecycle_and_ct(listener, transport, lifecycle, stop.clone())
                .await?;
        let peer = running.peer().clone();
        let over = CancellationToken::new();
        let (ended, cut) = (over.clone(), stop.clone());
        tokio::spawn(async move {
            // What was cut off is over at once: nobody answers on it while it is being closed.
            tokio::select! {
                _ = running.waiting() => {}
                () = cut.cancelled() => {}
            }
            ended.cancel();
        });
        let connection = Self {
            peer,
            changed,
            over,
            _stop: guard,
        };
        connection.subscribe(stop);
        Ok(connection)
    }

    /// Without a handshake a server tells of changes only where it is asked to (MCP 2026-07-28, subscriptions).
    fn subscribe(&self, stop: CancellationToken) {
        let Some(info) = self.peer.peer_info() else {
            return;
        };
        let tells = info.capabilities.tools.as_ref();
        if info.protocol_version.has_initialize()
            || tells.and_then(|tools| tools.list_changed) != Some(true)
        {
            return;
        }
        let (peer, changed) = (self.peer.clone(), Arc::clone(&self.changed));
        tokio::spawn(async move {
            let listening = async {
                let filter = SubscriptionFilter::builder().tools_list_changed().build();
                let mut subscription = peer.listen(filter).await?;
                while subscription.next().await?.is_some() {
                    changed.notify_one();
                }
                Ok::<(), ServiceError>(())
            };
            // Where it fails, the list is still read again now and then.
            tokio::select! {
                () = stop.cancelled() => {}
                _ = listening => {}
            }
        });
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        &self.peer
    }

    /// The version of the protocol that is spoken.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        Some(self.peer.peer_info()?.protocol_version.clone())
    }

    /// Until the server says that its tools changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Until the conversation has ended.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// What the server offers, so far as it fits; of several tools of one name, the first.
    pub(super) async fn offers(&self) -> Result<Vec<ToolOffer>, ServiceError> {
        let mut names = HashSet::new();
        let mut offers = Vec::new();
        let mut cursor = None;
        for _ in 0..limits::MCP_PAGES_MAX {
            let mut params = PaginatedRequestParams::default();
            params.cursor = cursor;
            let page = self.peer.list_tools(Some(params)).await?;
            for tool in page.tools {
                if offers.len() >= limits::MCP_TOOLS_MAX {
                    return Ok(offers);
                }
                if names.insert(tool.name.clone()) {
                    offers.push(offer(tool));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(offers)
    }
}

fn lifecycle(protocol: Protocol) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match protocol {
        Protocol::Auto => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        Protocol::Legacy => ClientLifecycleMode::Initialize,
        Protocol::Modern => ClientLifecycleMode::Discover { preferred_versions },
    }
}

fn offer(tool: Tool) -> ToolOffer {
    let annotations =
        tool.annotations
            .and_then(|annotations| match serde_json::to_value(annotations) {
                Ok(Value::Object(map)) => Some(map),
                _ => None,
            });
    ToolOffer {
        name: tool.name.into_owned(),
        description: tool.description.unwrap_or_default().into_owned(),
        input_schema: tool.input_schema.as_ref().clone(),
        annotations: annotations.unwrap_or_default(),
    }
}

/// Hears what the server says of its own accord.
struct Listener {
    changed: Arc<Notify>,
    /// Since when how many messages came that answer nothing.
    noise: Mutex<(Instant, u32)>,
    stop: CancellationToken,
}

impl Listener {
    /// Ends a conversation in which the other side only talks.
    fn hear(&self) {
        let mut noise = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
        if noise.0.elapsed() > limits::MCP_NOISE_WINDOW {
            *noise = (Instant::now(), 0);
        }
        noise.1 += 1;
        if noise.1 > limits::MCP_NOISE_MAX {
            self.stop.cancel();
        }
    }
}

impl Service<RoleClient> for Listener {
    fn handle_request(
        &self,
        request: ServerRequest,
        _: RequestContext<RoleClient>,
    ) -> impl Future<Output = Result<ClientResult, ErrorData>> + Send + '_ {
        self.hear();
        ready(match request {
            ServerRequest::PingRequest(_) => Ok(ClientResult::empty(())),
            _ => Err(ErrorData::new(
                ErrorCode::METHOD_NOT_FOUND,
                "this client answers no requests",
                None,
            )),
        })
    }

    fn handle_notification(
        &self,
        notification: ServerNotification,
        _: NotificationContext<RoleClient>,
    ) -> impl Future<Output = Result<(), ErrorData>> + Send + '_ {
        self.hear();
        if let ServerNotification::ToolListChangedNotification(_) = notification {
            self.changed.notify_one();
        }
        ready(Ok(()))
    }

    fn get_info(&self) -> ClientConfig {
        let about = Implementation::new("runyard", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), about)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}
