//! Overruled decisions of intent gates.

use super::{SqliteStore, statements};
use crate::decode::{self, Column};
use crate::encode::json;
use async_trait::async_trait;
use domain::OrgScope;
use domain::gate::GateCase;
use domain::ports::store::{GateStore, StoreResult};
use rusqlite::params;

statements! {
    PUT_CASE = "INSERT INTO gate_cases (org, run, step_index, agent_type, at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (org, run, step_index) DO UPDATE SET at = ?5, body = ?6";
    LIST_CASES = "SELECT body FROM gate_cases WHERE org = ?1 AND agent_type = ?2
        ORDER BY at DESC, run DESC, step_index DESC LIMIT ?3";
}

#[async_trait]
impl GateStore for SqliteStore {
    async fn put_gate_case(&self, scope: &OrgScope, case: &GateCase) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let body = json(case)?;
        let case = case.clone();
        self.write(move |db| {
            db.prepare_cached(PUT_CASE)?.execute(params![
                org,
                case.run_id.uuid().as_bytes(),
                case.step_index,
                case.agent_type,
                case.at.as_micros(),
                body,
            ])?;
            Ok(())
        })
        .await
    }

    async fn list_gate_cases(
        &self,
        scope: &OrgScope,
        agent_type: &str,
        limit: u32,
    ) -> StoreResult<Vec<GateCase>> {
        let org = scope.org().as_str().to_owned();
        let agent_type = agent_type.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(LIST_CASES)?;
            let rows = statement.query_map(params![org, agent_type, limit], |row| {
                row.get::<_, String>(0)
            })?;
            let mut cases = Vec::new();
            for row in rows {
                cases.push(decode::json(
                    Column("gate_cases", "body"),
                    &agent_type,
                    &row?,
                )?);
            }
            Ok(cases)
        })
        .await
    }
}
