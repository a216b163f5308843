//! What orgs and agents took from their days.

use super::pool::get;
use super::{PostgresStore, statements};
use async_trait::async_trait;
use domain::OrgScope;
use domain::budget::{Ceiling, Exhausted, Reservation, Spend};
use domain::ports::store::{BudgetStore, StoreError, StoreResult};
use domain::seeded::Seeded;
use tokio_postgres::types::ToSql;

statements! {
    RESERVE = "SELECT place, ceiling FROM reserve_budget_1($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    SETTLE = "UPDATE budget_days SET steps = greatest(0, steps + $4), tokens = greatest(0, tokens + $5),
        cost_micro_usd = greatest(0, cost_micro_usd + $6)
        WHERE org = $1 AND day = $2 AND subject = ANY ($3::text[])";
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn limits(of: &Reservation, limit: impl Fn(usize) -> Option<u64>) -> Vec<Option<i64>> {
    (0..of.of.len()).map(|at| limit(at).map(signed)).collect()
}

fn subjects(reservation: &Reservation) -> Vec<&str> {
    let subjects = reservation.of.iter();
    subjects.map(|(subject, _)| subject.as_str()).collect()
}

#[async_trait]
impl BudgetStore for PostgresStore {
    async fn reserve_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
    ) -> StoreResult<Option<Exhausted>> {
        let of = &reservation.of;
        let params: [&(dyn ToSql + Sync); 9] = [
            &scope.org().as_str(),
            &reservation.day,
            &subjects(reservation),
            &limits(reservation, |at| of[at].1.max_steps),
            &limits(reservation, |at| of[at].1.max_tokens),
            &limits(reservation, |at| of[at].1.max_cost_micro_usd),
            &signed(reservation.amount.steps),
            &signed(reservation.amount.tokens),
            &signed(reservation.amount.cost_micro_usd),
        ];
        let row = self.pool.write_one(RESERVE, &params).await?;
        let place: i32 = get(&row, 0)?;
        let Ok(place) = usize::try_from(place - 1) else {
            return Ok(None);
        };
        let unknown = || StoreError::Rejected("reserve_budget_1 said something new".into());
        let (subject, budget) = of.get(place).ok_or_else(unknown)?;
        let ceiling = match get::<Option<&str>>(&row, 1)? {
            Some("steps") => budget.max_steps.map(Ceiling::Steps),
            Some("tokens") => budget.max_tokens.map(Ceiling::Tokens),
            Some("cost") => budget.max_cost_micro_usd.map(Ceiling::Cost),
            Some(_) | None => None,
        };
        Ok(Some(Exhausted {
            subject: subject.clone(),
            ceiling: ceiling.ok_or_else(unknown)?,
        }))
    }

    async fn settle_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
        used: Spend,
    ) -> StoreResult<()> {
        let taken = match Seeded::BudgetTwice.is_on() {
            true => Spend::default(),
            false => reservation.amount,
        };
        let params: [&(dyn ToSql + Sync); 6] = [
            &scope.org().as_str(),
            &reservation.day,
            &subjects(reservation),
            &signed(used.steps).saturating_sub(signed(taken.steps)),
            &signed(used.tokens).saturating_sub(signed(taken.tokens)),
            &signed(used.cost_micro_usd).saturating_sub(signed(taken.cost_micro_usd)),
        ];
        self.pool.write(SETTLE, &params).await?;
        Ok(())
    }
}
