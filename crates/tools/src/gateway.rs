//! The `Tools` port over whatever executes: which tools an agent has, what becomes of a call before it runs, and the
//! call itself. It does not know how any kind of tool works.

mod build;
mod catalog;
mod content;
mod dispatch;
mod explain;
mod keep;
mod plan;
mod policies;
mod probe;

pub use build::Setup;
pub(crate) use build::check;
pub use catalog::NameTaken;
pub use explain::Explained;
pub use policies::{Deliberation, PlacedRule, PolicyConfig, RuleOfTwo};

use crate::error::ConfigError;
use crate::executor::Tool;
use crate::limits;
use crate::rules::Condition;
use async_trait::async_trait;
use catalog::Catalog;
use domain::OrgScope;
use domain::agent::Agent;
use domain::approval::AskOptions;
use domain::policy::Labels;
use domain::ports::clock::Clock;
use domain::ports::store::ResultStore;
use domain::ports::tools::{CallContext, Proposed, Tools, Wants};
use domain::run::{Call, Planned};
use domain::tool::{Policy, Probed, ToolOutcome, ToolSpec};
use keep::Keeper;
use policies::Policies;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Every tool of the server.
pub struct Gateway {
    catalog: RwLock<Arc<Catalog>>,
    /// Tool lists that were asked for, by agent type and version; emptied when the catalog changes.
    lists: Mutex<HashMap<(String, String), Listed>>,
    /// How approvals of every tool are decided.
    asking: AskOptions,
    clock: Arc<dyn Clock>,
    keeper: Option<Keeper>,
    policies: Policies,
}

/// An agent's list, with what it was made from.
struct Listed {
    agent: Arc<[String]>,
    policies: Vec<Option<Policy>>,
    specs: Arc<[ToolSpec]>,
}

impl Gateway {
    /// A gateway with the tools of the configuration. Opens SQLite files to check statements; connects to nothing.
    pub fn build(setup: Setup<'_>) -> Result<Self, ConfigError> {
        let clock = Arc::clone(&setup.clock);
        let asking = setup.asking.clone();
        let reserved = crate::mcp::reserved(&setup.tools);
        let results = setup.results.clone();
        let policies = Policies::compile(setup.policy.clone())?;
        let catalog = Catalog::configured(build::tools(setup)?).reserving(reserved);
        build::fields_exist(policies.configured(), &catalog)?;
        let gateway = Self {
            asking,
            ..Self::of(catalog, policies, clock)
        };
        Ok(match results {
            Some(results) => gateway.keeping(results),
            None => gateway,
        })
    }

    /// A gateway with tools made by hand, and without rules.
    pub fn with(tools: Vec<Tool>, clock: Arc<dyn Clock>) -> Self {
        Self::governed(tools, PolicyConfig::default(), clock)
            .expect("no rule is wrong where none is")
    }

    /// A gateway with tools made by hand, under rules.
    pub fn governed(
        tools: Vec<Tool>,
        policy: PolicyConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let policies = Policies::compile(policy)?;
        Ok(Self::of(Catalog::configured(tools), policies, clock))
    }

    fn of(catalog: Catalog, policies: Policies, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog: RwLock::new(Arc::new(catalog)),
            lists: Mutex::new(HashMap::new()),
            asking: AskOptions::default(),
            clock,
            keeper: None,
            policies,
        }
    }

    /// Keeps whole what is too long for a model.
    pub fn keeping(self, store: Arc<dyn ResultStore>) -> Self {
        let clock = Arc::clone(&self.clock);
        Self {
            keeper: Some(Keeper { store, clock }),
            ..self
        }
    }

    /// Puts the tools of a source that may change (a server that offers tools) in place of those that it had. Calls on
    /// their way end on the tools that they began with; those still to be sent are checked against the new ones.
    pub fn replace(&self, source: &str, tools: Vec<Tool>) -> Result<(), NameTaken> {
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        *catalog = Arc::new(catalog.replaced(source, tools)?);
        drop(catalog);
        self.lists
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        Ok(())
    }

    /// Whether a source cannot have this name, because another has it or is to have it.
    pub fn is_taken(&self, source: &str, name: &str) -> bool {
        self.catalog().is_taken(source, name)
    }

    /// Names of every tool, in order.
    pub fn names(&self) -> Vec<String> {
        self.catalog().names().map(str::to_owned).collect()
    }

    /// Every tool, by name, and who outside gives its results.
    pub fn tools(&self) -> Vec<(ToolSpec, Option<String>)> {
        let catalog = self.catalog();
        let told = |tool: &Arc<Tool>| (tool.spec.clone(), tool.data_from.clone());
        catalog.tools().map(told).collect()
    }

    /// Tools that an agent lists but nobody offers.
    pub fn missing(&self, agent: &Agent) -> Vec<String> {
        let catalog = self.catalog();
        let missing = |name: &&String| catalog.get(name).is_none();
        agent.tools.iter().filter(missing).cloned().collect()
    }

    /// Plans, and what was said of those calls that could be made.
    async fn deliberated(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        calls: Vec<Proposed>,
    ) -> (Vec<Planned>, Vec<Deliberation>) {
        let catalog = self.catalog();
        let place = plan::Place {
            catalog: &catalog,
            agent: &context.agent,
            asking: &self.asking,
            now: self.clock.now(),
        };
        let calls = calls.into_iter().enumerate();
        let mut plans: Vec<Planned> = calls.map(|(index, call)| place.read(index, call)).collect();
        let earlier = self.earlier(&catalog, context);
        let cases = place.cases(&plans);
        let judged = self
            .policies
            .deliberate(scope, context, earlier, &cases)
            .await;
        place.decide(&mut plans, &judged);
        (plans, judged)
    }

    /// What the run's conversation holds from before it.
    fn earlier(&self, catalog: &Catalog, context: &CallContext) -> Labels {
        let read = |name: &String| {
            let tool = catalog.get(name);
            tool.map_or_else(policies::unknown, |tool| tool.labels.read())
        };
        let tools = context.earlier_tools.iter();
        tools.map(read).fold(Labels::NONE, Labels::and)
    }

    /// Clears away what tools keep of calls that were carried out longer ago than `age`; how many there were. It must be
    /// longer than a call can stand between its sending and its result, or a repetition would not find the first.
    pub async fn forget_calls(&self, age: Duration) -> u64 {
        let catalog = self.catalog();
        let mut count = 0;
        for tool in catalog.tools() {
            match tool.executor.forget(age).await {
                Ok(forgotten) => count += forgotten,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        tool.name = tool.spec.name,
                        error,
                        "old calls of a tool are still on record"
                    );
                }
            }
        }
        count
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Tools for Gateway {
    fn specs(&self, _scope: &OrgScope, agent: &Agent) -> Arc<[ToolSpec]> {
        let policies: Vec<Option<Policy>> = agent
            .tools
            .iter()
            .map(|name| agent.approvals.get(name).copied())
            .collect();
        let key = (agent.agent_type.clone(), agent.version.clone());
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = lists.get(&key)
            && *listed.agent == *agent.tools
            && listed.policies == policies
        {
            return Arc::clone(&listed.specs);
        }
        let catalog = self.catalog();
        let specs: Arc<[ToolSpec]> = agent
            .tools
            .iter()
            .filter_map(|name| catalog.get(name))
            .map(|tool| ToolSpec {
                policy: plan::policy(tool, agent),
                ..tool.spec.clone()
            })
            .collect();
        if lists.len() >= limits::SPEC_LISTS_MAX {
            lists.clear();
        }
        let listed = Listed {
            agent: agent.tools.as_slice().into(),
            policies,
            specs: Arc::clone(&specs),
        };
        lists.insert(key, listed);
        specs
    }

    fn wants(&self, scope: &OrgScope, agent: &Agent) -> Wants {
        let catalog = self.catalog();
        let tools = agent.tools.iter().filter_map(|name| catalog.get(name));
        let labels = tools.map(|tool| tool.labels);
        let all = labels.fold(Labels::NONE, Labels::and);
        self.policies.wants(scope, agent, all)
    }

    async fn plan(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        calls: Vec<Proposed>,
    ) -> Vec<Planned> {
        self.deliberated(scope, context, calls).await.0
    }

    async fn holds(&self, predicate: &str, arguments: &Value) -> Result<bool, String> {
        let condition = Condition::compile(predicate).map_err(|error| error.to_string())?;
        if let Some(other) = condition.variables().find(|name| name.name() != "args") {
            return Err(format!(
                "it may look at `args` alone, not at `{}`",
                other.name()
            ));
        }
        self.policies.holds(condition, arguments).await
    }

    async fn execute(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        call: &Call,
        limit: Duration,
    ) -> ToolOutcome {
        let catalog = self.catalog();
        let now = self.clock.now();
        let keeper = self.keeper.as_ref();
        dispatch::execute(&catalog, keeper, scope, context, call, now, limit).await
    }

    async fn probe(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        call: &Call,
        limit: Duration,
    ) -> Probed {
        probe::ask(&self.catalog(), scope, context, call, limit).await
    }
}
