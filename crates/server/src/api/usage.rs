//! What the org's runs used over time.

use super::Params;
use crate::app::App;
use crate::caller::{Caller, Reads};
use crate::problem::{Code, Problem};
use crate::wire::usage::{Bucket, Group, UsageReport};
use axum::Json;
use axum::extract::State;
use domain::Timestamp;
use domain::usage::UsageQuery;
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

/// Steps of one answer: a year of days, a fortnight of hours.
const STEPS_MAX: u128 = 400;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageSpan {
    /// Where the span begins; brought back to the beginning of its step, in UTC. Thirty days or a day before `to`, if
    /// absent.
    #[param(value_type = Option<String>, format = "date-time", example = "2026-01-01T00:00:00Z")]
    from: Option<Timestamp>,
    /// Where it ends; now, if absent.
    #[param(value_type = Option<String>, format = "date-time", example = "2026-01-31T00:00:00Z")]
    to: Option<Timestamp>,
    /// The length of a step.
    #[serde(default)]
    #[param(inline)]
    bucket: Bucket,
    /// What is told apart.
    #[serde(default)]
    #[param(inline)]
    by: Group,
}

/// Usage over time
///
/// Runs, failures, tokens and cost of the runs that ended in a span of time, in steps, by agent, lane or key. A run counts
/// where it ended, with everything that it used; one that is still going does not count yet.
#[utoipa::path(
    get,
    path = "/api/v1/agents/usage",
    operation_id = "get_usage",
    tag = "usage",
    params(UsageSpan),
    responses((status = 200, description = "The span's sums.", body = UsageReport)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_usage(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(span): Params<UsageSpan>,
) -> Result<Json<UsageReport>, Problem> {
    let query = query(&span, app.clock.now())?;
    let points = app.store.usage(&caller.scope, &query).await?;
    Ok(Json(UsageReport {
        from: query.from.to_string(),
        to: query.to.to_string(),
        bucket: span.bucket,
        by: span.by,
        points: points.into_iter().map(Into::into).collect(),
    }))
}

fn query(span: &UsageSpan, now: Timestamp) -> Result<UsageQuery, Problem> {
    const HOUR: Duration = Duration::from_secs(3600);
    let (bucket, usual) = match span.bucket {
        Bucket::Hour => (HOUR, HOUR * 24),
        Bucket::Day => (HOUR * 24, HOUR * 24 * 30),
    };
    let to = span.to.unwrap_or(now);
    let from = span.from.unwrap_or_else(|| before(to, usual));
    let refused = |message| Err(Problem::saying(Code::invalid_parameter, message));
    if from >= to {
        return refused("The span must begin before it ends.");
    }
    let into_step = from.as_micros().rem_euclid(micros(bucket));
    let from = Timestamp::from_micros(from.as_micros() - into_step);
    if to.since(from).as_micros().div_ceil(bucket.as_micros()) > STEPS_MAX {
        return refused(
            "The span has more than 400 steps: ask for a shorter one, or for longer steps.",
        );
    }
    Ok(UsageQuery {
        from,
        to,
        bucket,
        by: span.by.into(),
    })
}

fn before(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(micros(span)))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn span(from: Option<i64>, to: i64, bucket: Bucket) -> UsageSpan {
        UsageSpan {
            from: from.map(Timestamp::from_micros),
            to: Some(Timestamp::from_micros(to)),
            bucket,
            by: Group::Agent,
        }
    }

    #[test]
    fn span_begins_with_its_step_and_has_an_end() {
        let now = Timestamp::from_micros(0);
        let from =
            |span: UsageSpan| query(&span, now).map(|query| query.from.as_micros() / HOUR_US);
        assert_eq!(
            from(span(Some(25 * HOUR_US), 99 * HOUR_US, Bucket::Day)).unwrap(),
            24
        );
        assert_eq!(
            from(span(Some(25 * HOUR_US + 1), 99 * HOUR_US, Bucket::Hour)).unwrap(),
            25
        );
        assert_eq!(from(span(None, 99 * HOUR_US, Bucket::Hour)).unwrap(), 75);
        assert!(from(span(Some(2), 1, Bucket::Hour)).is_err());
        assert!(from(span(Some(0), 401 * HOUR_US, Bucket::Hour)).is_err());
        assert!(from(span(Some(0), 400 * HOUR_US, Bucket::Hour)).is_ok());
    }
}
