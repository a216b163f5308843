//! The builtin `read_result`: the parts of a long result that a model was not told.

use super::Builtin;
use crate::executor::{Ended, Executor, Work};
use crate::limits;
use domain::kept::{KeptId, KeptResult};
use domain::ports::store::ResultStore;
use domain::ports::tools::CallContext;
use domain::tool::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn builtin(results: Option<Arc<dyn ResultStore>>) -> Builtin {
    let schema = json!({
        "type": "object",
        "properties": {
            "result_id": {
                "type": "string",
                "pattern": "^res_[0-9a-f]{32}$",
                "description": "The `result_id` that a tool's result told"
            },
            "offset": {
                "type": "integer",
                "minimum": 0,
                "description": "How many characters to skip"
            },
            "length": {
                "type": "integer",
                "minimum": 1,
                "maximum": limits::READ_CHARS_MAX,
                "description": "How many characters to read"
            }
        },
        "required": ["result_id"],
        "additionalProperties": false
    });
    Builtin {
        description: "Reads a part of a tool's result that was too long to be told whole.",
        input_schema: schema.as_object().cloned().unwrap_or_default(),
        effect: Effect::Idempotent,
        executor: Arc::new(Reader { results }),
    }
}

struct Reader {
    /// `None` where nothing is kept.
    results: Option<Arc<dyn ResultStore>>,
}

impl Reader {
    async fn read(&self, work: Work<'_>) -> Ended {
        let argument = |name: &str| work.arguments.get(name);
        let id = argument("result_id").and_then(Value::as_str);
        let Some(id) = id.and_then(|id| id.parse::<KeptId>().ok()) else {
            return missing();
        };
        let number = |name: &str, default: usize| {
            let number = argument(name).and_then(Value::as_u64);
            number.map_or(default, |number| {
                usize::try_from(number).unwrap_or(usize::MAX)
            })
        };
        let offset = number("offset", 0);
        let length = number("length", limits::READ_CHARS_DEFAULT);
        let Some(results) = &self.results else {
            return missing();
        };
        match results.get_result(work.scope, &id).await {
            Ok(Some(kept)) if is_near(&kept, work.context) => part(&kept, offset, length),
            Ok(Some(_) | None) => missing(),
            Err(_) => Ended::Before {
                why: "kept results cannot be read now".to_owned(),
            },
        }
    }
}

/// A run reads its own results and those of its conversation, not those of other people's.
fn is_near(kept: &KeptResult, context: &CallContext) -> bool {
    kept.run_id == context.run_id
        || (kept.thread_id.is_some() && kept.thread_id == context.thread_id)
}

fn missing() -> Ended {
    Ended::Answered {
        value: json!({ "message": "there is no such result; they are kept for a week" }),
        is_error: true,
    }
}

fn part(kept: &KeptResult, offset: usize, length: usize) -> Ended {
    let text: String = kept.content.chars().skip(offset).take(length).collect();
    let next = offset.saturating_add(text.chars().count());
    let all = kept.content.chars().count();
    Ended::Answered {
        value: json!({
            "tool": kept.tool_name,
            "text": text,
            "offset": offset,
            "chars": all,
            "next_offset": (next < all).then_some(next),
        }),
        is_error: false,
    }
}

impl Executor for Reader {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        self.read(work).boxed()
    }
}
