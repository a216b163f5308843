//! One turn on its way through the candidate lanes.

use super::Shared;
use crate::attempt::{self, Attempt};
use crate::breaker::Ticket;
use crate::fault::{Fault, Remedy};
use crate::lane::Lane;
use crate::meter::Trip;
use crate::offline::{self, Recital};
use domain::failure::{Failure, FailureCode};
use domain::lane::{Considered, LaneChoice, LaneHealth, LaneVerdict};
use domain::ports::model::{ModelError, TurnEvent, TurnFinish, TurnRequest};
use domain::seeded::Seeded;
use domain::usage::Usage;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Characters of a reason that is kept with the run.
const REASON_CHARS_MAX: usize = 1_000;

pub(super) struct Turn {
    shared: Arc<Shared>,
    request: TurnRequest,
    candidates: Vec<LaneChoice>,
    considered: Vec<Considered>,
    /// The candidate that is tried, and how often it was.
    position: usize,
    attempt: u32,
    tried: Vec<Tried>,
    /// What attempts used that came to nothing before their first token.
    spent: Usage,
    phase: Phase,
    /// Behind the `Lane` event.
    held: Option<TurnEvent>,
    announced: bool,
}

/// A lane that was passed over.
struct Tried {
    name: String,
    model: String,
    fault: Fault,
}

enum Phase {
    Seeking,
    Streaming(Box<Live>),
    Over,
}

/// A lane that answers.
struct Live {
    lane: Arc<Lane>,
    source: Source,
    ticket: Ticket,
    trip: Trip,
    /// Given back when the answer is whole or the turn is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

enum Source {
    Remote(Box<Attempt>),
    Offline(Recital),
}

impl Live {
    async fn next(&mut self) -> Result<Option<TurnEvent>, Fault> {
        match &mut self.source {
            Source::Remote(attempt) => attempt.next(&self.lane).await,
            Source::Offline(recital) => Ok(recital.next().await),
        }
    }

    fn finish(&mut self, request: &TurnRequest) -> TurnFinish {
        match &mut self.source {
            Source::Remote(attempt) => attempt.finish(&self.lane, request),
            Source::Offline(recital) => recital.finish(),
        }
    }

    /// What a broken attempt will be charged, as far as known.
    fn usage(&self, request: &TurnRequest) -> Usage {
        match &self.source {
            Source::Remote(attempt) if attempt.has_begun() => attempt.usage(&self.lane, request),
            Source::Remote(_) | Source::Offline(_) => Usage::default(),
        }
    }
}

impl Turn {
    pub(super) fn new(shared: Arc<Shared>, request: TurnRequest) -> Self {
        let selection = shared.select_for(&request);
        Self {
            shared,
            request,
            candidates: selection.candidates,
            considered: selection.considered,
            position: 0,
            attempt: 0,
            tried: Vec::new(),
            spent: Usage::default(),
            phase: Phase::Seeking,
            held: None,
            announced: false,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<TurnEvent, ModelError>> {
        loop {
            if let Some(event) = self.held.take() {
                return Some(Ok(event));
            }
            let step = match &mut self.phase {
                Phase::Over => return None,
                Phase::Seeking => {
                    match self.seek().await {
                        Ok(live) => self.phase = Phase::Streaming(Box::new(live)),
                        Err(error) => {
                            self.phase = Phase::Over;
                            return Some(Err(error));
                        }
                    }
                    continue;
                }
                Phase::Streaming(live) => live.next().await,
            };
            match step {
                Ok(event) => return self.pass_on(event).map(Ok),
                Err(fault) => {
                    if let Some(error) = self.broken(fault).await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// An event of the lane, or its end; the first comes behind the lane's name.
    fn pass_on(&mut self, event: Option<TurnEvent>) -> Option<TurnEvent> {
        let Phase::Streaming(live) = &mut self.phase else {
            return None;
        };
        if !self.announced {
            live.ticket.alive();
            live.trip.alive();
        }
        let event = match event {
            Some(event) => event,
            None => {
                let mut finish = live.finish(&self.request);
                if let Phase::Streaming(live) = std::mem::replace(&mut self.phase, Phase::Over) {
                    live.ticket.succeeded(Instant::now());
                    live.trip.answered(&finish.usage);
                }
                finish.usage.add(&self.spent);
                TurnEvent::Finished(finish)
            }
        };
        if self.announced {
            return Some(event);
        }
        self.announced = true;
        self.held = Some(event);
        Some(TurnEvent::Lane(self.choice()))
    }

    /// The stream broke. Before the first token the search goes on; after it, the engine has to know.
    async fn broken(&mut self, fault: Fault) -> Option<ModelError> {
        let Phase::Streaming(live) = std::mem::replace(&mut self.phase, Phase::Seeking) else {
            return None;
        };
        let usage = live.usage(&self.request);
        let Live {
            lane, ticket, trip, ..
        } = *live;
        if fault.counts_against_lane() {
            ticket.failed(Instant::now());
            trip.failed(&usage);
        }
        self.spent.add(&usage);
        if !self.announced {
            return self.failed(&lane, fault).await;
        }
        self.phase = Phase::Over;
        let model = &self.candidates[self.position].model;
        Some(ModelError {
            failure: fault.failure(&lane.config.name, model),
            retry: fault.is_passing(),
            lane: Some(lane.config.name.clone()),
            usage: self.spent,
        })
    }

    /// Tries candidates until one answers.
    async fn seek(&mut self) -> Result<Live, ModelError> {
        loop {
            let Some(choice) = self.candidates.get(self.position) else {
                return Err(self.nothing_left());
            };
            let Some(lane) = self.shared.lane(&choice.name).map(Arc::clone) else {
                self.position += 1;
                continue;
            };
            let model = choice.model.clone();
            match self.open(&lane, &model).await {
                Ok(live) => return Ok(live),
                Err(fault) => {
                    if let Some(error) = self.failed(&lane, fault).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn open(&self, lane: &Arc<Lane>, model: &str) -> Result<Live, Fault> {
        if let Some(pause) = lane.rests_for() {
            if pause > lane.config.retries.retry_after_max() {
                return Err(Fault::Resting(pause));
            }
            // Everyone who waits for the same moment would be refused together again.
            let spread = self.shared.random.up_to(pause.mul_f64(0.1));
            tokio::time::sleep(pause + spread).await;
        }
        let place = lane.place().await?;
        let ticket = lane.breaker.enter(Instant::now());
        let trip = lane.meter.begin(self.request.scope.org());
        let source = if lane.is_offline() {
            let word = self.shared.offline_word;
            Source::Offline(offline::answer(&self.request, word))
        } else {
            let remote = lane.remote.as_ref().ok_or(Fault::Unusable)?;
            match attempt::open(lane, remote, model, &self.request).await {
                Ok(attempt) => Source::Remote(Box::new(attempt)),
                Err(fault) => {
                    if fault.counts_against_lane() {
                        ticket.failed(Instant::now());
                        trip.failed(&Usage::default());
                    }
                    return Err(fault);
                }
            }
        };
        Ok(Live {
            lane: Arc::clone(lane),
            source,
            ticket,
            trip,
            _place: place,
        })
    }

    /// An attempt came to nothing before its first token: waits for the next, here or in the next lane. Returns the
    /// turn's end if there is none.
    async fn failed(&mut self, lane: &Arc<Lane>, fault: Fault) -> Option<ModelError> {
        self.attempt += 1;
        let retries = lane.config.retries;
        // A lane that is known to be ill is a last resort, not worth insisting on.
        let attempts = match lane.health() {
            LaneHealth::Healthy => retries.attempts,
            LaneHealth::Open => 1,
        };
        let pause = match fault.remedy() {
            Remedy::NextLane => None,
            Remedy::Again(wait) => {
                if let Some(wait) = wait.filter(|_| !Seeded::ToldWaitIgnored.is_on()) {
                    lane.rest(wait);
                }
                let waits = wait.is_none_or(|wait| wait <= retries.retry_after_max());
                // A told wait is kept by the lane itself, for every turn.
                let backoff = || match wait {
                    Some(_) => Duration::ZERO,
                    None => lane.backoff(self.attempt - 1, &self.shared.random),
                };
                (waits && self.attempt < attempts).then(backoff)
            }
        };
        let model = self.candidates[self.position].model.clone();
        if let Some(pause) = pause {
            tracing::info!(
                lane.name = lane.config.name,
                run.id = %self.request.run_id,
                attempt = self.attempt,
                wait_ms = pause.as_millis() as u64,
                reason = fault.words(&model),
                "the model call is tried again"
            );
            tokio::time::sleep(pause).await;
            return None;
        }
        tracing::warn!(
            lane.name = lane.config.name,
            run.id = %self.request.run_id,
            attempts = self.attempt,
            reason = fault.words(&model),
            "the lane is passed over"
        );
        self.tried.push(Tried {
            name: lane.config.name.clone(),
            model,
            fault,
        });
        self.position += 1;
        self.attempt = 0;
        (self.position == self.candidates.len()).then(|| {
            self.phase = Phase::Over;
            self.nothing_left()
        })
    }

    /// Every candidate was tried. The engine does not try again: the tries of this turn were made here.
    fn nothing_left(&self) -> ModelError {
        let failure = match self.tried.as_slice() {
            [] => Failure::new(FailureCode::ModelUnavailable, self.nobody()),
            [one] => one.fault.failure(&one.name, &one.model),
            several => {
                let first = several[0].fault.code();
                let same = several.iter().all(|tried| tried.fault.code() == first);
                let passing = several.iter().any(|tried| tried.fault.is_passing());
                let code = if same || !passing {
                    first
                } else {
                    FailureCode::ModelUnavailable
                };
                let told: Vec<String> = several.iter().map(Tried::told).collect();
                let message = format!("no lane could answer: {}", told.join("; "));
                Failure::new(code, shortened(message))
            }
        };
        ModelError {
            failure,
            retry: false,
            lane: self.tried.last().map(|tried| tried.name.clone()),
            usage: self.spent,
        }
    }

    fn nobody(&self) -> String {
        let mut message = if self.considered.is_empty() {
            "no lane is configured for this agent".to_owned()
        } else {
            "no lane can serve this turn".to_owned()
        };
        if !self.request.wishes.models.is_empty() {
            let models = self.request.wishes.models.join(", ");
            message.push_str(&format!(" (models: {models})"));
        }
        for lane in &self.considered {
            message.push_str(&format!("; {}: {}", lane.name, lane.reason));
        }
        shortened(message)
    }

    /// What was said of each lane, and what became of those that were tried.
    fn considered(&self) -> Vec<Considered> {
        let mut considered = self.considered.clone();
        for tried in &self.tried {
            if let Some(said) = considered.iter_mut().find(|said| said.name == tried.name) {
                said.eligible = false;
                said.verdict = LaneVerdict::Failed;
                said.reason = shortened(tried.fault.words(&tried.model));
            }
        }
        considered
    }

    /// The lane that answers, with why it does and the others do not.
    fn choice(&self) -> LaneChoice {
        let mut choice = self.candidates[self.position].clone();
        for tried in &self.tried {
            choice
                .reason
                .push_str(&format!("; passed over {}", tried.told()));
        }
        choice.reason = shortened(choice.reason);
        choice.considered = self.considered();
        choice
    }
}

impl Tried {
    fn told(&self) -> String {
        format!("{}: {}", self.name, self.fault.words(&self.model))
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
