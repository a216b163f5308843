//! Tools that the server brings along. They touch nothing outside it.

mod reader;

use crate::executor::{Ended, Executor, Work};
use chrono::{DateTime, Datelike, FixedOffset, SecondsFormat, Utc};
use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::store::ResultStore;
use domain::tool::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A builtin, complete but for its policy and limits.
pub(crate) struct Builtin {
    pub description: &'static str,
    pub input_schema: Map<String, Value>,
    pub effect: Effect,
    pub executor: Arc<dyn Executor>,
}

/// The builtin that reads on in results that were too long.
pub(crate) const READER: &str = "read_result";

/// What builtins work with.
pub(crate) struct Means {
    pub clock: Arc<dyn Clock>,
    pub results: Option<Arc<dyn ResultStore>>,
}

pub(crate) fn find(name: &str, means: &Means) -> Option<Builtin> {
    match name {
        "current_time" => Some(current_time(&means.clock)),
        READER => Some(reader::builtin(means.results.clone())),
        _ => None,
    }
}

fn current_time(clock: &Arc<dyn Clock>) -> Builtin {
    let schema = json!({
        "type": "object",
        "properties": {
            "utc_offset": {
                "type": "string",
                "pattern": "^(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
                "description": "Offset of the local time to tell as well, such as +02:00"
            }
        },
        "additionalProperties": false
    });
    Builtin {
        description: "The current date and time in UTC and, if asked, at an offset from it.",
        input_schema: schema.as_object().cloned().unwrap_or_default(),
        effect: Effect::Idempotent,
        executor: Arc::new(CurrentTime {
            clock: Arc::clone(clock),
        }),
    }
}

struct CurrentTime {
    clock: Arc<dyn Clock>,
}

impl Executor for CurrentTime {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        let offset = work.arguments.get("utc_offset").and_then(Value::as_str);
        let ended = match told(self.clock.now(), offset) {
            Some(value) => Ended::Answered {
                value,
                is_error: false,
            },
            None => Ended::Before {
                why: "`utc_offset` is not an offset such as +02:00".to_owned(),
            },
        };
        std::future::ready(ended).boxed()
    }
}

fn told(now: Timestamp, offset: Option<&str>) -> Option<Value> {
    let utc = DateTime::<Utc>::from_timestamp_micros(now.as_micros())?;
    let mut value = json!({
        "utc": utc.to_rfc3339_opts(SecondsFormat::Secs, true),
        "unix_s": utc.timestamp(),
        "weekday": utc.weekday().to_string(),
    });
    if let Some(offset) = offset {
        let offset = if offset == "Z" { "+00:00" } else { offset };
        let local = utc.with_timezone(&offset.parse::<FixedOffset>().ok()?);
        value["local"] = json!(local.to_rfc3339_opts(SecondsFormat::Secs, false));
        value["local_weekday"] = json!(local.weekday().to_string());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_in_utc_and_at_an_offset() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(
            told(now, None),
            Some(json!({"utc": "2023-11-14T22:13:20Z", "unix_s": 1_700_000_000, "weekday": "Tue"}))
        );
        assert_eq!(
            told(now, Some("+05:30")),
            Some(
                json!({"utc": "2023-11-14T22:13:20Z", "unix_s": 1_700_000_000, "weekday": "Tue",
                "local": "2023-11-15T03:43:20+05:30", "local_weekday": "Wed"})
            )
        );
        assert_eq!(
            told(now, Some("Z")).unwrap()["local"],
            "2023-11-14T22:13:20+00:00"
        );
        assert_eq!(told(now, Some("nonsense")), None);
    }
}
