//! Overruled decisions of intent gates.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::{self, Column};
use crate::encode::json;
use async_trait::async_trait;
use domain::OrgScope;
use domain::gate::GateCase;
use domain::ports::store::{GateStore, StoreResult};

statements! {
    PUT_CASE = "INSERT INTO gate_cases (org, run, step_index, agent_type, at, body)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (org, run, step_index) DO UPDATE SET at = $5, body = $6";
    LIST_CASES = "SELECT body FROM gate_cases WHERE org = $1 AND agent_type = $2
        ORDER BY at DESC, run DESC, step_index DESC LIMIT $3";
}

#[async_trait]
impl GateStore for PostgresStore {
    async fn put_gate_case(&self, scope: &OrgScope, case: &GateCase) -> StoreResult<()> {
        let body = json(case)?;
        self.pool
            .write(
                PUT_CASE,
                &[
                    &scope.org().as_str(),
                    &case.run_id.uuid(),
                    &i64::from(case.step_index),
                    &case.agent_type,
                    &case.at.as_micros(),
                    &body,
                ],
            )
            .await?;
        Ok(())
    }

    async fn list_gate_cases(
        &self,
        scope: &OrgScope,
        agent_type: &str,
        limit: u32,
    ) -> StoreResult<Vec<GateCase>> {
        let rows = self
            .pool
            .read(
                LIST_CASES,
                &[&scope.org().as_str(), &agent_type, &i64::from(limit)],
            )
            .await?;
        let mut cases = Vec::new();
        for row in &rows {
            cases.push(decode::json(
                Column("gate_cases", "body"),
                agent_type,
                get(row, 0)?,
            )?);
        }
        Ok(cases)
    }
}
