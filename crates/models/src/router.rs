//! The models of this server behind one port: picks the lane of a turn, retries before its first token, passes on what
//! the lane says. What follows the first token is the engine's to mend.

use crate::breaker::BreakerSettings;
use crate::client::Clients;
use crate::config::{ConfigError, LaneConfig};
use crate::lane::Lane;
use crate::random::Random;
use domain::lane::{LaneInfo, LaneReport, OrgLanes, Selection, Wishes, select};
use domain::ports::model::{ModelError, Models, TurnEvent, TurnRequest};
use domain::{OrgId, OrgScope};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

mod turn;

use turn::Turn;

/// Settings of all lanes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterSettings {
    pub breaker: BreakerSettings,
    /// Between two words of the offline stand-in.
    pub offline_word_ms: u64,
    /// Fixes the random part of waits; for tests.
    #[serde(skip)]
    pub seed: Option<u64>,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            breaker: BreakerSettings::default(),
            offline_word_ms: 15,
            seed: None,
        }
    }
}

/// The lanes of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lanes: Vec<Arc<Lane>>,
    orgs: Arc<HashMap<OrgId, OrgLanes>>,
    random: Arc<Random>,
    offline_word: Duration,
}

impl Router {
    /// Lanes in order of preference, for orgs that may use them all. A rustls provider must be installed before.
    pub fn new(lanes: Vec<LaneConfig>, settings: RouterSettings) -> Result<Self, ConfigError> {
        Self::with_orgs(lanes, settings, Arc::default())
    }

    /// As `new`, with what some orgs allow; one that is not named may use every lane.
    pub fn with_orgs(
        lanes: Vec<LaneConfig>,
        settings: RouterSettings,
        orgs: Arc<HashMap<OrgId, OrgLanes>>,
    ) -> Result<Self, ConfigError> {
        let random = Arc::new(Random::new(settings.seed));
        let mut clients = Clients::default();
        let mut ready: Vec<Arc<Lane>> = Vec::with_capacity(lanes.len());
        for config in lanes {
            if ready.iter().any(|lane| lane.config.name == config.name) {
                return Err(ConfigError::Duplicate { lane: config.name });
            }
            let lane = Lane::new(config, &mut clients, settings.breaker, &random)?;
            ready.push(Arc::new(lane));
        }
        Ok(Self(Arc::new(Shared {
            lanes: ready,
            orgs,
            random,
            offline_word: Duration::from_millis(settings.offline_word_ms),
        })))
    }
}

impl Models for Router {
    fn turn(&self, request: TurnRequest) -> BoxStream<'static, Result<TurnEvent, ModelError>> {
        let turn = Box::new(Turn::new(Arc::clone(&self.0), request));
        stream::unfold(turn, |mut turn| async move {
            let event = turn.next().await?;
            Some((event, turn))
        })
        .boxed()
    }

    fn lanes(&self) -> Vec<LaneInfo> {
        self.0.lanes.iter().map(|lane| lane.info()).collect()
    }

    fn select(&self, scope: &OrgScope, wishes: &Wishes) -> Selection {
        self.0.select(scope, wishes)
    }

    fn reports(&self, scope: &OrgScope) -> Vec<LaneReport> {
        self.0.lanes.iter().map(|lane| lane.report(scope)).collect()
    }

    fn dearest(&self, request: &TurnRequest, input_tokens: u64, output_tokens: u64) -> u64 {
        let candidates = self.0.select_for(request).candidates;
        let lanes = candidates
            .iter()
            .filter_map(|choice| self.0.lane(&choice.name));
        let costs = lanes.map(|lane| lane.config.price.at_most(input_tokens, output_tokens));
        costs.max().unwrap_or(0)
    }
}

impl Shared {
    fn lane(&self, name: &str) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.config.name == name)
    }

    /// Candidates for these wishes, best first, as far as the org allows.
    fn select(&self, scope: &OrgScope, wishes: &Wishes) -> Selection {
        let lanes: Vec<LaneInfo> = self.lanes.iter().map(|lane| lane.info()).collect();
        match self.orgs.get(scope.org()) {
            Some(org) => {
                let org = org.clone();
                let wishes = Wishes {
                    org,
                    ..wishes.clone()
                };
                select(&lanes, &wishes)
            }
            None => select(&lanes, wishes),
        }
    }

    /// Candidates for the turn, best first.
    fn select_for(&self, request: &TurnRequest) -> Selection {
        let mut wishes = request.wishes.clone();
        wishes.failed.clone_from(&request.failed_lanes);
        wishes
            .sticky
            .get_or_insert_with(|| request.run_id.to_string());
        self.select(&request.scope, &wishes)
    }
}
