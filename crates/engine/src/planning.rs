//! Has calls judged, with everything that the tools' policies want to know of the run. It does not judge.

use crate::{Engine, EngineError};
use domain::OrgScope;
use domain::agent::Agent;
use domain::approval::{Approval, ApprovalKind, Decision};
use domain::grant::GrantScope;
use domain::message::{Message, Role};
use domain::ports::store::StoreResult;
use domain::ports::tools::{CallContext, Proposed};
use domain::run::{Planned, Run, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Engine {
    /// Plans calls of a run as it is now. `history` is its thread's; a session has none.
    pub(crate) async fn plan(
        &self,
        scope: &OrgScope,
        run: &Run,
        agent: Arc<Agent>,
        history: &[Arc<Message>],
        calls: Vec<Proposed>,
    ) -> StoreResult<Vec<Planned>> {
        let wants = self.tools.wants(scope, &agent);
        let mut context = CallContext::of(run, agent);
        if wants.conversation {
            context.earlier_tools = earlier_tools(run, history);
        }
        if wants.thread_metadata
            && let Some(thread) = run.thread_id()
            && let Some(thread) = self.store.get_thread(scope, thread).await?
        {
            context.thread_metadata = thread.metadata;
        }
        let mut planned = self.tools.plan(scope, &context, calls).await;
        self.look_for_grants(scope, run, &mut planned).await?;
        Ok(planned)
    }

    /// Lets grants stand in for the person where one covers the call. Only calls that ask cost a look.
    async fn look_for_grants(
        &self,
        scope: &OrgScope,
        run: &Run,
        planned: &mut [Planned],
    ) -> StoreResult<()> {
        let now = self.clock.now();
        for call in planned {
            if !matches!(call.verdict, Verdict::Ask { .. }) || !call.judgement.is_grantable() {
                continue;
            }
            let of = GrantScope {
                agent_type: run.agent_type.clone(),
                tool_name: call.name.clone(),
                tool_version: call.tool_version.clone(),
            };
            for grant in self.store.live_grants(scope, &of, now).await? {
                if grant.may_answer(&of, &call.judgement, now)
                    && self.tools.holds(&grant.predicate, &call.arguments).await == Ok(true)
                {
                    call.judgement.grant = Some(grant.id);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether an approver may have a decision remembered so: for a call that a grant may answer, by a predicate that
    /// holds for it.
    pub(crate) async fn check_remember(
        &self,
        run: &Run,
        approval: &Approval,
        decision: &Decision,
    ) -> Result<(), EngineError> {
        let Some(remember) = &decision.remember else {
            return Ok(());
        };
        let refuse = |message: &str| {
            let message = message.to_owned();
            Err(EngineError::InvalidGrant { message })
        };
        let call = run.calls().iter().find(|call| call.id == approval.call_id);
        let is_grantable = call.is_some_and(|call| call.judgement.is_grantable());
        if approval.kind != ApprovalKind::ToolCall || !is_grantable {
            return refuse("policy asks a person each time for this call; no grant can answer");
        }
        let arguments = decision.arguments.as_ref().unwrap_or(&approval.arguments);
        match self.tools.holds(&remember.predicate, arguments).await {
            Ok(true) => Ok(()),
            Ok(false) => refuse("the predicate does not hold for the call that is approved"),
            Err(why) => refuse(&format!("the predicate cannot be used: {why}")),
        }
    }
}

/// Tools that were called in the conversation before this run. A result whose call is not there is of a tool without a
/// name, which nobody offers.
fn earlier_tools(run: &Run, history: &[Arc<Message>]) -> Vec<String> {
    let earlier = || {
        let messages = history.iter().map(AsRef::as_ref);
        messages.filter(|message: &&Message| message.run_id != Some(run.id))
    };
    let calls = || earlier().flat_map(|message| &message.tool_calls);
    let known: BTreeSet<&str> = calls().map(|call| call.id.as_str()).collect();
    let mut names: BTreeSet<&str> = calls().map(|call| call.name.as_str()).collect();
    let is_stray = |message: &Message| {
        let call = message.tool_call_id.as_ref();
        message.role == Role::Tool && call.is_none_or(|call| !known.contains(call.as_str()))
    };
    if earlier().any(is_stray) {
        names.insert("");
    }
    names.into_iter().map(str::to_owned).collect()
}
