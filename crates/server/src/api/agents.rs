//! Agents of the registry. Neither a model nor the store is asked.

use crate::app::{AgentState, App};
use crate::caller::{Caller, Reads};
use crate::problem::Problem;
use crate::wire::agents::{Agent, AgentList, BrokenAgent};
use axum::Json;
use axum::extract::State;

/// List agents
///
/// The registry's agents with their tools, lanes and policies; never a system prompt. Works with no model reachable.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    operation_id = "list_agents",
    tag = "agents",
    responses((status = 200, description = "The registry.", body = AgentList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_agents(
    caller: Caller<Reads>,
    State(app): State<App>,
) -> Result<Json<AgentList>, Problem> {
    let mut list = AgentList {
        agents: Vec::new(),
        broken: Vec::new(),
    };
    for entry in app.agents.list() {
        match entry.state {
            AgentState::Ready(agent) => {
                let tools = app.tools.specs(&caller.scope, &agent);
                list.agents.push(Agent::new(&agent, &tools));
            }
            AgentState::Broken { message } => list.broken.push(BrokenAgent {
                agent_type: entry.agent_type,
                message,
            }),
        }
    }
    Ok(Json(list))
}
