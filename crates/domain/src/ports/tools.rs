//! The gateway: what tools there are, whether a call may run, and its execution.

use crate::agent::Agent;
use crate::key::Principal;
use crate::policy::Labels;
use crate::run::{Call, Planned, Run};
use crate::tool::{Found, Probed, ToolOutcome, ToolSpec};
use crate::{CallId, OrgScope, RunId, ThreadId};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Who asks, for policies to look at.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub run_id: RunId,
    pub thread_id: Option<ThreadId>,
    pub agent: Arc<Agent>,
    pub caller: Principal,
    /// The run's.
    pub metadata: Map<String, Value>,
    /// The thread's; empty unless `Tools::wants` it.
    pub thread_metadata: Map<String, Value>,
    /// What the run's calls have touched so far.
    pub met: Labels,
    /// Tools of earlier runs whose results are in the conversation; empty unless `Tools::wants` them.
    pub earlier_tools: Vec<String>,
}

impl CallContext {
    /// The context of a run's calls, without what `Tools::wants` may ask for.
    pub fn of(run: &Run, agent: Arc<Agent>) -> Self {
        Self {
            run_id: run.id,
            thread_id: run.thread_id(),
            agent,
            caller: run.created_by.clone(),
            metadata: run.request.metadata.clone(),
            thread_metadata: Map::new(),
            met: run.met,
            earlier_tools: Vec::new(),
        }
    }
}

/// What a plan needs to know beside the run itself; each costs a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    pub thread_metadata: bool,
    /// Which tools have spoken in the conversation.
    pub conversation: bool,
}

/// A call to be judged. `arguments` is JSON text as the model or client wrote it.
#[derive(Debug, Clone)]
pub struct Proposed {
    pub client_id: Option<CallId>,
    pub name: String,
    pub arguments: String,
}

#[async_trait]
pub trait Tools: Send + Sync {
    /// The tools that `agent` may use in this org, in the agent's order.
    fn specs(&self, scope: &OrgScope, agent: &Agent) -> Arc<[ToolSpec]>;

    /// What must be in the context of this agent's plans.
    fn wants(&self, _scope: &OrgScope, _agent: &Agent) -> Wants {
        Wants::default()
    }

    /// Validates and judges calls, without any effect. Never fails: what cannot run is a verdict.
    async fn plan(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        calls: Vec<Proposed>,
    ) -> Vec<Planned>;

    /// Executes one call that is committed as dispatched. Checks again that the tool is the one that was decided on.
    /// Never longer than `limit`. Dropping the future stops the call where it can be stopped.
    async fn execute(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        call: &Call,
        limit: Duration,
    ) -> ToolOutcome;

    /// Whether a grant's predicate holds for arguments; why not where it cannot be used.
    async fn holds(&self, _predicate: &str, _arguments: &Value) -> Result<bool, String> {
        Err("there are no predicates here".to_owned())
    }

    /// Asks the tool's declared probe what became of a call. Harmless however often it is done.
    async fn probe(
        &self,
        _scope: &OrgScope,
        _context: &CallContext,
        call: &Call,
        _limit: Duration,
    ) -> Probed {
        Probed {
            tool: call.name.clone(),
            arguments: Value::Null,
            answer: "the tool has no probe".to_owned(),
            found: Found::Unclear,
        }
    }
}
