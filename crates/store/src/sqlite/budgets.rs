//! What orgs and agents took from their days.

use super::fault::Work;
use super::{SqliteStore, statements};
use crate::decode::{Column, unsigned};
use async_trait::async_trait;
use domain::OrgScope;
use domain::budget::{Exhausted, Reservation, Spend};
use domain::ports::store::{BudgetStore, StoreResult};
use domain::seeded::Seeded;
use rusqlite::{Connection, OptionalExtension, params};

statements! {
    SPENT = "SELECT steps, tokens, cost_micro_usd FROM budget_days WHERE org = ?1 AND subject = ?2 AND day = ?3";
    TAKE = "INSERT INTO budget_days (org, subject, day, steps, tokens, cost_micro_usd)
        VALUES (?1, ?2, ?3, max(0, ?4), max(0, ?5), max(0, ?6)) ON CONFLICT (org, subject, day) DO UPDATE SET
        steps = max(0, steps + ?4), tokens = max(0, tokens + ?5), cost_micro_usd = max(0, cost_micro_usd + ?6)";
}

fn spent(db: &Connection, org: &str, subject: &str, day: i64) -> Work<Spend> {
    let row: Option<(i64, i64, i64)> = db
        .prepare_cached(SPENT)?
        .query_row(params![org, subject, day], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (steps, tokens, cost) = row.unwrap_or_default();
    let read = |name, value| unsigned(Column("budget_days", name), subject, value);
    Ok(Spend {
        steps: read("steps", steps)?,
        tokens: read("tokens", tokens)?,
        cost_micro_usd: read("cost_micro_usd", cost)?,
    })
}

/// What is to be added; less than nothing where less was used than was taken.
fn difference(new: u64, old: u64) -> i64 {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    signed(new).saturating_sub(signed(old))
}

fn take(db: &Connection, org: &str, from: &Reservation, now: Spend, before: Spend) -> Work<()> {
    for (subject, _) in &from.of {
        db.prepare_cached(TAKE)?.execute(params![
            org,
            subject.as_str(),
            from.day,
            difference(now.steps, before.steps),
            difference(now.tokens, before.tokens),
            difference(now.cost_micro_usd, before.cost_micro_usd),
        ])?;
    }
    Ok(())
}

#[async_trait]
impl BudgetStore for SqliteStore {
    async fn reserve_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
    ) -> StoreResult<Option<Exhausted>> {
        let org = scope.org().as_str().to_owned();
        let from = reservation.clone();
        self.write(move |db| {
            for (subject, budget) in &from.of {
                let used = spent(db, &org, subject.as_str(), from.day)?;
                if let Some(ceiling) = budget.passed(used, from.amount) {
                    let subject = subject.clone();
                    return Ok(Some(Exhausted { subject, ceiling }));
                }
            }
            take(db, &org, &from, from.amount, Spend::default())?;
            Ok(None)
        })
        .await
    }

    async fn settle_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
        used: Spend,
    ) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let mut from = reservation.clone();
        if Seeded::BudgetTwice.is_on() {
            from.amount = Spend::default();
        }
        self.write(move |db| take(db, &org, &from, used, from.amount))
            .await
    }
}
