//! The lanes that serve: those of the configuration or the environment, else what answers beside this server, and the
//! built-in stand-in where there is nothing else. It asks no model anything.

use crate::cli::Failure;
use crate::config::Settings;
use arc_swap::ArcSwap;
use domain::lane::{LaneInfo, LaneReport, OrgLanes, Selection, Wishes};
use domain::ports::model::{ModelError, Models, TurnEvent, TurnRequest};
use domain::{OrgId, OrgScope};
use futures::future::join_all;
use futures::stream::BoxStream;
use models::{Candidate, LaneConfig, Router, RouterSettings, Wire};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Between looks for what is missing.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long a server beside this one has to answer.
const ANSWER_NEAR: Duration = Duration::from_millis(500);
/// How long a configured lane has to name its models: before the server is ready, and later.
const ANSWER_AT_START: Duration = Duration::from_secs(1);
const ANSWER_LATER: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Lanes {
    current: Arc<Current>,
    configured: Arc<[LaneConfig]>,
    router: RouterSettings,
    orgs: Arc<HashMap<OrgId, OrgLanes>>,
    own_port: u16,
    /// What is still to be found.
    missing: usize,
}

/// The router of now. A turn stays with the one that it began with.
struct Current(ArcSwap<Router>);

impl Models for Current {
    fn turn(&self, request: TurnRequest) -> BoxStream<'static, Result<TurnEvent, ModelError>> {
        self.0.load().turn(request)
    }

    fn lanes(&self) -> Vec<LaneInfo> {
        self.0.load().lanes()
    }

    fn select(&self, scope: &OrgScope, wishes: &Wishes) -> Selection {
        self.0.load().select(scope, wishes)
    }

    fn reports(&self, scope: &OrgScope) -> Vec<LaneReport> {
        self.0.load().reports(scope)
    }

    fn dearest(&self, request: &TurnRequest, input_tokens: u64, output_tokens: u64) -> u64 {
        self.0.load().dearest(request, input_tokens, output_tokens)
    }
}

impl Lanes {
    /// Lanes that do not say which models they have are asked, for a moment.
    pub async fn build(settings: &Settings) -> Result<Self, Failure> {
        let configured: Arc<[LaneConfig]> = settings.lanes.as_slice().into();
        let (lanes, missing) = if configured.is_empty() {
            (
                vec![LaneConfig::offline()],
                usize::from(settings.detect_lanes),
            )
        } else {
            let lanes = ask(&configured, ANSWER_AT_START).await;
            let missing = lanes.iter().filter(|lane| lacks_models(lane)).count();
            (lanes, missing)
        };
        let orgs = Arc::new(settings.org_lanes.clone());
        let router = Router::with_orgs(lanes, settings.router, orgs.clone()).map_err(|error| {
            Failure::new(
                "the lanes cannot be used",
                "change them; docs/configuration.md says how",
            )
            .because(&error)
        })?;
        Ok(Self {
            current: Arc::new(Current(ArcSwap::from_pointee(router))),
            configured,
            router: settings.router,
            orgs,
            own_port: settings.listen.value.port(),
            missing,
        })
    }

    pub fn models(&self) -> Arc<dyn Models> {
        self.current.clone()
    }

    pub fn now(&self) -> Vec<LaneInfo> {
        self.current.lanes()
    }

    /// Goes on until nothing is missing: a model server beside this one where no lane was configured, which then serves
    /// before the stand-in, or the models of lanes that name none.
    pub async fn search(mut self, stop: CancellationToken) {
        while self.missing > 0 {
            let lanes = tokio::select! {
                lanes = self.look() => lanes,
                () = stop.cancelled() => return,
            };
            let missing = lanes.iter().filter(|lane| lacks_models(lane)).count();
            if !lanes.is_empty() && missing < self.missing {
                self.missing = missing;
                self.take(lanes);
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&self) -> Vec<LaneConfig> {
        if !self.configured.is_empty() {
            return ask(&self.configured, ANSWER_LATER).await;
        }
        let mut found = detect(self.own_port).await;
        if !found.is_empty() {
            found.push(LaneConfig::offline());
        }
        found
    }

    fn take(&self, lanes: Vec<LaneConfig>) {
        let names: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
        match Router::with_orgs(lanes, self.router, self.orgs.clone()) {
            Ok(router) => {
                self.current.0.store(Arc::new(router));
                tracing::info!(lanes = ?names, "models were found; these lanes serve from now on");
            }
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "models were found but cannot be used");
            }
        }
    }
}

/// Model servers on this machine, without this server's own port, which others use by default too.
pub async fn detect(own_port: u16) -> Vec<LaneConfig> {
    let places = models::usual_places();
    let open = join_all(
        places
            .iter()
            .map(|place| is_open(&place.base_url, own_port)),
    )
    .await;
    let places = places.into_iter().zip(open);
    let places: Vec<Candidate> = places
        .filter_map(|(place, open)| open.then_some(place))
        .collect();
    // An HTTP client reads the system's certificates: megabytes, where mostly nobody listens.
    if places.is_empty() {
        return Vec::new();
    }
    models::detect_at(places, ANSWER_NEAR).await
}

async fn is_open(url: &str, own_port: u16) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let connecting = TcpStream::connect((host, port));
    port != own_port && matches!(timeout(ANSWER_NEAR, connecting).await, Ok(Ok(_)))
}

/// The lanes with the models that their providers list, where they name none themselves.
async fn ask(lanes: &[LaneConfig], wait: Duration) -> Vec<LaneConfig> {
    join_all(lanes.iter().cloned().map(|lane| async move {
        if lacks_models(&lane) {
            models::with_listed_models(lane, wait).await
        } else {
            lane
        }
    }))
    .await
}

/// An agent that names no model cannot use it.
fn lacks_models(lane: &LaneConfig) -> bool {
    let is_remote = lane.wire.is_some_and(|wire| wire != Wire::Offline);
    is_remote && lane.models.iter().all(|model| model.ends_with('*'))
}
