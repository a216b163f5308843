//! Agents' definitions, kept for the runs that began with them.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::{self, Column};
use crate::encode::json;
use async_trait::async_trait;
use domain::agent::Agent;
use domain::ports::store::{AgentStore, StoreResult};

statements! {
    PUT_AGENT = "INSERT INTO agent_versions (agent_type, version, body) VALUES ($1, $2, $3)
        ON CONFLICT (agent_type, version) DO NOTHING";
    GET_AGENT = "SELECT body FROM agent_versions WHERE agent_type = $1 AND version = $2";
}

#[async_trait]
impl AgentStore for PostgresStore {
    async fn system_put_agent(&self, agent: &Agent) -> StoreResult<()> {
        let body = json(agent)?;
        self.pool
            .write(PUT_AGENT, &[&agent.agent_type, &agent.version, &body])
            .await?;
        Ok(())
    }

    async fn system_get_agent(
        &self,
        agent_type: &str,
        version: &str,
    ) -> StoreResult<Option<Agent>> {
        let row = self
            .pool
            .read_one(GET_AGENT, &[&agent_type, &version])
            .await?;
        row.map(|row| decode::json(Column("agent_versions", "body"), agent_type, get(&row, 0)?))
            .transpose()
    }
}
