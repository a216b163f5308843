//! What ended runs used, summed over spans of time.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::usage::{self, Columns};
use async_trait::async_trait;
use domain::OrgScope;
use domain::ports::store::{StoreResult, UsageStore};
use domain::usage::{UsageBy, UsagePoint, UsageQuery};

statements! {
    USAGE_BY_AGENT = "SELECT (ended_at - $2) / $4, agent_type, agent_type, count(*),
        count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled'),
        sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cost_micro_usd)::bigint,
        bool_or(estimated)
        FROM run_usage WHERE org = $1 AND ended_at >= $2 AND ended_at < $3 GROUP BY 1, 2 ORDER BY 1, 2";
    USAGE_BY_LANE = "SELECT (ended_at - $2) / $4, lane, lane, count(*),
        count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled'),
        sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cost_micro_usd)::bigint,
        bool_or(estimated)
        FROM run_usage WHERE org = $1 AND ended_at >= $2 AND ended_at < $3 GROUP BY 1, 2 ORDER BY 1, 2";
    USAGE_BY_KEY = "SELECT (ended_at - $2) / $4, key_id, max(key_name), count(*),
        count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled'),
        sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cost_micro_usd)::bigint,
        bool_or(estimated)
        FROM run_usage WHERE org = $1 AND ended_at >= $2 AND ended_at < $3 GROUP BY 1, 2 ORDER BY 1, 2";
}

#[async_trait]
impl UsageStore for PostgresStore {
    async fn usage(&self, scope: &OrgScope, query: &UsageQuery) -> StoreResult<Vec<UsagePoint>> {
        let sql = match query.by {
            UsageBy::Agent => USAGE_BY_AGENT,
            UsageBy::Lane => USAGE_BY_LANE,
            UsageBy::Key => USAGE_BY_KEY,
        };
        let (from, to) = (query.from.as_micros(), query.to.as_micros());
        let bucket = usage::micros(query.bucket);
        let rows = self
            .pool
            .read(sql, &[&scope.org().as_str(), &from, &to, &bucket])
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns {
                    bucket: get(row, 0)?,
                    group: get(row, 1)?,
                    name: get(row, 2)?,
                    runs: get(row, 3)?,
                    failed: get(row, 4)?,
                    cancelled: get(row, 5)?,
                    input_tokens: get(row, 6)?,
                    output_tokens: get(row, 7)?,
                    cached_tokens: get(row, 8)?,
                    cost_micro_usd: get(row, 9)?,
                    estimated: get(row, 10)?,
                };
                Ok(columns.point(query))
            })
            .collect()
    }
}
