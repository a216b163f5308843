//! What ended runs used, summed over spans of time.

use super::{SqliteStore, statements};
use crate::usage::{self, Columns};
use async_trait::async_trait;
use domain::OrgScope;
use domain::ports::store::{StoreResult, UsageStore};
use domain::usage::{UsageBy, UsagePoint, UsageQuery};
use rusqlite::params;

statements! {
    USAGE_BY_AGENT = "SELECT (ended_at - ?2) / ?4, agent_type, agent_type, count(*), sum(status = 'failed'),
        sum(status = 'cancelled'), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(cost_micro_usd),
        max(estimated)
        FROM run_usage WHERE org = ?1 AND ended_at >= ?2 AND ended_at < ?3 GROUP BY 1, 2 ORDER BY 1, 2";
    USAGE_BY_LANE = "SELECT (ended_at - ?2) / ?4, lane, lane, count(*), sum(status = 'failed'),
        sum(status = 'cancelled'), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(cost_micro_usd),
        max(estimated)
        FROM run_usage WHERE org = ?1 AND ended_at >= ?2 AND ended_at < ?3 GROUP BY 1, 2 ORDER BY 1, 2";
    USAGE_BY_KEY = "SELECT (ended_at - ?2) / ?4, key_id, max(key_name), count(*), sum(status = 'failed'),
        sum(status = 'cancelled'), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(cost_micro_usd),
        max(estimated)
        FROM run_usage WHERE org = ?1 AND ended_at >= ?2 AND ended_at < ?3 GROUP BY 1, 2 ORDER BY 1, 2";
}

#[async_trait]
impl UsageStore for SqliteStore {
    async fn usage(&self, scope: &OrgScope, query: &UsageQuery) -> StoreResult<Vec<UsagePoint>> {
        let org = scope.org().as_str().to_owned();
        let query = *query;
        self.read(move |db| {
            let mut statement = db.prepare_cached(match query.by {
                UsageBy::Agent => USAGE_BY_AGENT,
                UsageBy::Lane => USAGE_BY_LANE,
                UsageBy::Key => USAGE_BY_KEY,
            })?;
            let (from, to) = (query.from.as_micros(), query.to.as_micros());
            let mut rows = statement.query(params![org, from, to, usage::micros(query.bucket)])?;
            let mut points = Vec::new();
            while let Some(row) = rows.next()? {
                let columns = Columns {
                    bucket: row.get(0)?,
                    group: row.get(1)?,
                    name: row.get(2)?,
                    runs: row.get(3)?,
                    failed: row.get(4)?,
                    cancelled: row.get(5)?,
                    input_tokens: row.get(6)?,
                    output_tokens: row.get(7)?,
                    cached_tokens: row.get(8)?,
                    cost_micro_usd: row.get(9)?,
                    estimated: row.get(10)?,
                };
                points.push(columns.point(&query));
            }
            Ok(points)
        })
        .await
    }
}
