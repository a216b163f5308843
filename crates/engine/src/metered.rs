//! Models under the ceilings of a day: a turn is paid for before it begins, as dear as it may get, and settled when it
//! ends. A turn that is cut, or whose end nobody saw, stays paid: the provider may well have made it.

use domain::budget::{Account, DayBudget, Exhausted, Reservation, Spend, Subject, day};
use domain::lane::{LaneInfo, LaneReport, Selection, Wishes};
use domain::ports::clock::Clock;
use domain::ports::model::{ModelError, Models, TurnEvent, TurnRequest};
use domain::ports::store::{Store, StoreError};
use domain::usage::Usage;
use domain::{OrgId, OrgScope};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Tokens that an answer may have where nothing limits it.
const OUTPUT_TOKENS: u64 = 8_192;

/// Bytes of a token, roughly; the estimate is corrected when the turn ends.
const TOKEN_BYTES: usize = 4;

/// The longest pause between two tries of a store that is not available.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Ceilings of orgs; those of agents come with the agents.
#[derive(Debug, Clone, Default)]
pub struct DayBudgets {
    /// Of every org that has none of its own.
    pub each_org: DayBudget,
    pub orgs: HashMap<OrgId, DayBudget>,
}

impl DayBudgets {
    /// Whose days a turn is taken from. Empty where nobody limits anything.
    fn of(&self, scope: &OrgScope, account: &Account) -> Vec<(Subject, DayBudget)> {
        let org = self.orgs.get(scope.org()).copied().unwrap_or(self.each_org);
        let agent = Subject::Agent(account.agent_type.clone());
        [(Subject::Org, org), (agent, account.daily)]
            .into_iter()
            .filter(|(_, budget)| !budget.is_unlimited())
            .collect()
    }
}

/// The models of `inner`, each turn paid for.
pub struct Metered(Arc<Meter>);

struct Meter {
    inner: Arc<dyn Models>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    budgets: DayBudgets,
}

impl Metered {
    pub fn new(
        inner: Arc<dyn Models>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        budgets: DayBudgets,
    ) -> Self {
        Self(Arc::new(Meter {
            inner,
            store,
            clock,
            budgets,
        }))
    }
}

impl Models for Metered {
    fn turn(&self, request: TurnRequest) -> BoxStream<'static, Result<TurnEvent, ModelError>> {
        let of = self.0.budgets.of(&request.scope, &request.account);
        if of.is_empty() {
            return self.0.inner.turn(request);
        }
        let at = Turn::Begins {
            meter: Arc::clone(&self.0),
            of,
            request: Box::new(request),
        };
        stream::unfold(at, Turn::next).boxed()
    }

    fn lanes(&self) -> Vec<LaneInfo> {
        self.0.inner.lanes()
    }

    fn select(&self, scope: &OrgScope, wishes: &Wishes) -> Selection {
        self.0.inner.select(scope, wishes)
    }

    fn reports(&self, scope: &OrgScope) -> Vec<LaneReport> {
        self.0.inner.reports(scope)
    }

    fn dearest(&self, request: &TurnRequest, input_tokens: u64, output_tokens: u64) -> u64 {
        self.0.inner.dearest(request, input_tokens, output_tokens)
    }
}

/// Where a metered turn is.
enum Turn {
    Begins {
        meter: Arc<Meter>,
        of: Vec<(Subject, DayBudget)>,
        request: Box<TurnRequest>,
    },
    Runs(Box<Running>),
    Over,
}

struct Running {
    meter: Arc<Meter>,
    scope: OrgScope,
    paid: Reservation,
    inner: BoxStream<'static, Result<TurnEvent, ModelError>>,
}

type Item = Result<TurnEvent, ModelError>;

impl Turn {
    async fn next(self) -> Option<(Item, Self)> {
        let mut running = match self {
            Self::Over => return None,
            Self::Runs(running) => running,
            Self::Begins { meter, of, request } => match meter.pay(of, *request).await {
                Ok(running) => Box::new(running),
                Err(error) => return Some((Err(error), Self::Over)),
            },
        };
        let item = running.inner.next().await?;
        let used = match &item {
            Ok(TurnEvent::Finished(finish)) => Some(finish.usage),
            Err(error) => Some(error.usage),
            Ok(TurnEvent::Lane(_) | TurnEvent::Text(_) | TurnEvent::Reasoning(_)) => None,
        };
        if let Some(used) = used {
            let Running {
                meter,
                scope,
                paid,
                inner,
            } = *running;
            drop(inner);
            meter.settle(&scope, &paid, used).await;
            return Some((item, Self::Over));
        }
        Some((item, Self::Runs(running)))
    }
}

impl Meter {
    /// Waits for a store that does not answer: a turn that nobody counted would be free.
    async fn pay(
        self: Arc<Self>,
        of: Vec<(Subject, DayBudget)>,
        request: TurnRequest,
    ) -> Result<Running, ModelError> {
        let paid = Reservation {
            day: day(self.clock.now()),
            of,
            amount: self.estimate(&request),
        };
        let scope = request.scope.clone();
        let mut pause = Duration::from_millis(20);
        loop {
            match self.store.reserve_budget(&scope, &paid).await {
                Ok(None) => break,
                Ok(Some(exhausted)) => return Err(refused(&exhausted)),
                Err(StoreError::Unavailable(_) | StoreError::Full(_)) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => {
                    tracing::error!(org.id = %scope.org(), error = &error as &dyn std::error::Error, "a turn could not be paid for");
                    let code = domain::failure::FailureCode::Internal;
                    return Err(ModelError::new(code, "the budget could not be read"));
                }
            }
        }
        Ok(Running {
            inner: self.inner.turn(request),
            meter: self,
            scope,
            paid,
        })
    }

    async fn settle(&self, scope: &OrgScope, paid: &Reservation, used: Usage) {
        let used = Spend {
            steps: 1,
            tokens: used.total_tokens(),
            cost_micro_usd: used.cost_micro_usd,
        };

        if let Err(error) = self.store.settle_budget(scope, paid, used).await {
            tracing::warn!(org.id = %scope.org(), error = &error as &dyn std::error::Error, "a turn could not be settled and counts as estimated");
        }
    }

    /// What the turn may take at most, as far as anybody can tell before it.
    fn estimate(&self, request: &TurnRequest) -> Spend {
        let messages = request.messages.iter().map(|message| {
            let calls = message.tool_calls.iter();
            let calls: usize = calls.map(|call| call.arguments.to_string().len()).sum();
            message.content.text().len() + calls
        });
        let tools = request.tools.iter().map(|tool| {
            let schema = serde_json::to_string(&tool.input_schema).map_or(0, |text| text.len());
            tool.description.len() + schema
        });
        let bytes = request.system_prompt.len() + messages.sum::<usize>() + tools.sum::<usize>();
        let input = (bytes / TOKEN_BYTES) as u64;
        let output = request.max_output_tokens.map_or(OUTPUT_TOKENS, u64::from);
        Spend {
            steps: 1,
            tokens: input + output,
            cost_micro_usd: self.inner.dearest(request, input, output),
        }
    }
}

fn refused(exhausted: &Exhausted) -> ModelError {
    ModelError {
        failure: exhausted.failure(),
        retry: false,
        lane: None,
        usage: Usage::default(),
    }
}
