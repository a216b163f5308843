//! Agents' definitions, kept for the runs that began with them.

use super::{SqliteStore, statements};
use crate::decode::{self, Column};
use crate::encode::json;
use async_trait::async_trait;
use domain::agent::Agent;
use domain::ports::store::{AgentStore, StoreResult};
use rusqlite::{OptionalExtension, params};

statements! {
    PUT_AGENT = "INSERT INTO agent_versions (agent_type, version, body) VALUES (?1, ?2, ?3)
        ON CONFLICT (agent_type, version) DO NOTHING";
    GET_AGENT = "SELECT body FROM agent_versions WHERE agent_type = ?1 AND version = ?2";
}

#[async_trait]
impl AgentStore for SqliteStore {
    async fn system_put_agent(&self, agent: &Agent) -> StoreResult<()> {
        let (agent_type, version) = (agent.agent_type.clone(), agent.version.clone());
        let body = json(agent)?;
        self.write(move |db| {
            db.prepare_cached(PUT_AGENT)?
                .execute(params![agent_type, version, body])?;
            Ok(())
        })
        .await
    }

    async fn system_get_agent(
        &self,
        agent_type: &str,
        version: &str,
    ) -> StoreResult<Option<Agent>> {
        let (agent_type, version) = (agent_type.to_owned(), version.to_owned());
        self.read(move |db| {
            let body: Option<String> = db
                .prepare_cached(GET_AGENT)?
                .query_row(params![agent_type, version], |row| row.get(0))
                .optional()?;
            let agent =
                body.map(|body| decode::json(Column("agent_versions", "body"), &agent_type, &body));
            Ok(agent.transpose()?)
        })
        .await
    }
}
