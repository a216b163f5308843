//! A lane at run time: its settings made ready to be used, its health, its places.

use crate::breaker::{Breaker, BreakerSettings};
use crate::client::Clients;
use crate::config::{ConfigError, LaneConfig, Wire};
use crate::fault::Fault;
use crate::meter::Meter;
use crate::plain::Plain;
use crate::random::Random;
use domain::OrgScope;
use domain::lane::{LaneHealth, LaneInfo, LanePrice, LaneReport};
use reqwest::header::HeaderMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

#[derive(Debug)]
pub(crate) struct Lane {
    pub config: LaneConfig,
    pub breaker: Arc<Breaker>,
    pub meter: Arc<Meter>,
    /// How to reach it; `None` where nothing is to be reached.
    pub remote: Option<Remote>,
    places: Option<Arc<Semaphore>>,
    resting_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(crate) struct Remote {
    pub wire: Wire,
    pub base: Url,
    pub headers: HeaderMap,
    pub client: reqwest::Client,
    /// For turns, where the address allows it.
    pub plain: Option<Arc<Plain>>,
}

impl Remote {
    pub(crate) fn new(
        config: &LaneConfig,
        clients: &mut Clients,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(wire) = config.wire.filter(|wire| *wire != Wire::Offline) else {
            return Ok(None);
        };
        let base = config.endpoint()?;
        let client = clients.client(&base, config.timeouts.connect())?;
        let plain = Plain::new(&base, config.timeouts.connect());
        Ok(Some(Self {
            wire,
            base,
            headers: wire.headers(config)?,
            client,
            plain,
        }))
    }
}

impl Lane {
    pub(crate) fn new(
        config: LaneConfig,
        clients: &mut Clients,
        breaker: BreakerSettings,
        random: &Arc<Random>,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let remote = Remote::new(&config, clients)?;
        let places = config
            .max_concurrency
            .map(|places| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))));
        Ok(Self {
            breaker: Arc::new(Breaker::new(breaker, Arc::clone(random))),
            meter: Arc::default(),
            remote,
            places,
            resting_until: Mutex::default(),
            config,
        })
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.config.wire == Some(Wire::Offline)
    }

    /// The lane as selection sees it.
    pub(crate) fn info(&self) -> LaneInfo {
        let config = &self.config;
        let beginnings = config
            .models
            .iter()
            .filter_map(|model| model.strip_suffix('*'));
        LaneInfo {
            models: config.exact_models().cloned().collect(),
            beginnings: beginnings.map(str::to_owned).collect(),
            health: self.health(),
            weight: config.weight,
            price: LanePrice {
                input_micro_usd: config.price.input_micro_usd,
                output_micro_usd: config.price.output_micro_usd,
            },
            needs: config.requires.clone(),
            is_stand_in: self.is_offline(),
            ..LaneInfo::new(config.name.clone(), config.kind)
        }
    }

    pub(crate) fn report(&self, scope: &OrgScope) -> LaneReport {
        let rests = self.rests_for().unwrap_or_default();
        LaneReport {
            info: self.info(),
            wire: self.config.wire.map(Wire::as_str),
            max_concurrency: self.config.max_concurrency,
            in_flight: self.meter.in_flight(),
            rests_ms: u64::try_from(rests.as_millis()).unwrap_or(u64::MAX),
            traffic: self.meter.traffic(scope.org()),
            recent: self.meter.recent(),
        }
    }

    pub(crate) fn health(&self) -> LaneHealth {
        self.breaker.health(std::time::Instant::now())
    }

    /// A place in the lane; waits in line for at most the lane's time.
    pub(crate) async fn place(&self) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        let Some(places) = &self.places else {
            return Ok(None);
        };
        let wait = self.config.retries.queue();
        let place = tokio::time::timeout(wait, Arc::clone(places).acquire_owned()).await;
        match place {
            Ok(Ok(place)) => Ok(Some(place)),
            // The semaphore is never closed; if it were, there would be no place either.
            Ok(Err(_)) | Err(_) => Err(Fault::Full(wait)),
        }
    }

    /// The provider asks for a pause: for every turn, or each would find out for itself.
    pub(crate) fn rest(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        let mut resting = self.lock_resting();
        *resting = until.max(*resting);
    }

    /// What is left of the pause.
    pub(crate) fn rests_for(&self) -> Option<Duration> {
        let until = (*self.lock_resting())?;
        let left = until.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    fn lock_resting(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.resting_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The random wait before try number `attempt` (the first is 0).
    pub(crate) fn backoff(&self, attempt: u32, random: &Random) -> Duration {
        let retries = self.config.retries;
        let most = retries.base_ms.saturating_mul(1 << attempt.min(32));
        random.up_to(Duration::from_millis(most.min(retries.max_ms)))
    }
}
