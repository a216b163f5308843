//! A script being played: what of it is used up.

use super::{Script, Times};
use crate::{Faults, Part, Reply, Request};

/// A script and how far it has come.
#[derive(Debug)]
pub(crate) struct Active {
    pub script: Script,
    used: Vec<u64>,
}

impl Active {
    pub fn new(script: Script) -> Self {
        let used = vec![0; script.rules.len()];
        Self { script, used }
    }

    /// The reply to this request; what has a limit is used up by it.
    pub fn choose(&mut self, request: &Request) -> Reply {
        if let Some(reply) = self
            .script
            .answer
            .as_ref()
            .and_then(|answer| (answer.0)(request))
        {
            return reply;
        }
        for (rule, used) in self.script.rules.iter().zip(&mut self.used) {
            let left = match rule.times {
                Times::Always => true,
                Times::Count(times) => *used < times,
            };
            if left && rule.when.fits(request) {
                *used += 1;
                return rule.reply.clone();
            }
        }
        self.script
            .replies
            .pop_front()
            .unwrap_or_else(|| self.script.otherwise.clone())
    }

    /// The two replies that the fast mode plays: after a tool result, and otherwise. None if the
    /// script asks for more than that mode looks at.
    pub fn fast_pair(&self) -> Option<(Reply, Reply)> {
        let script = &self.script;
        if script.answer.is_some() || !script.replies.is_empty() {
            return None;
        }
        let otherwise = script.otherwise.clone();
        let after_tool = match script.rules.as_slice() {
            [] => otherwise.clone(),
            [rule] if rule.when == super::When::tool_result() && rule.times == Times::Always => {
                rule.reply.clone()
            }
            _ => return None,
        };
        let plain = |reply: &Reply| {
            let floods = reply
                .parts
                .iter()
                .any(|part| matches!(part, Part::Flood(_)));
            !floods && !reply.reads_request() && reply.faults == Faults::default()
        };
        (plain(&otherwise) && plain(&after_tool)).then_some((after_tool, otherwise))
    }
}
