//! Which reply answers which request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AcceptFault, Reply, Request, Wire};

mod active;

pub(crate) use active::Active;

/// What a model server does: rules first, in order; then the queue; then the default reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The first rule that fits and is not used up answers.
    pub rules: Vec<Rule>,
    /// Where no rule answers: each reply once, in order.
    pub replies: VecDeque<Reply>,
    /// Where the queue is empty.
    pub otherwise: Reply,
    /// What happens to new connections.
    pub accept: AcceptFault,
    /// The wires that exist here; another's path is 404. All if empty.
    pub serves: Vec<Wire>,
    /// The models that are listed.
    pub models: Vec<String>,
    /// Answers before anything else, when it answers at all. Not part of a script file.
    #[serde(skip)]
    pub(crate) answer: Option<Answerer>,
}

/// A function from request to reply.
#[derive(Clone)]
pub(crate) struct Answerer(pub Arc<AnswerFn>);

type AnswerFn = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

impl fmt::Debug for Answerer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Answerer")
    }
}

/// A reply for the requests that fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests; all if absent.
    #[serde(default)]
    pub when: When,
    /// How often it answers.
    #[serde(default)]
    pub times: Times,
    /// The reply.
    pub reply: Reply,
}

/// How often a rule answers; in a script file a number, or `"always"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Without limit.
    #[default]
    Always,
    /// So many times.
    #[serde(untagged)]
    Count(u64),
}

/// Which requests a rule is for: each field that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The last user message contains this.
    pub last_user: Option<String>,
    /// The system prompt contains this.
    pub system: Option<String>,
    /// The history ends with a tool result, or does not.
    pub tool_result: Option<bool>,
    /// The last tool result contains this.
    pub tool_result_text: Option<String>,
    /// Its place among the requests for an answer, from 0.
    pub call: Option<u64>,
    /// The model asked for.
    pub model: Option<String>,
    /// The wire.
    pub wire: Option<Wire>,
    /// A streamed answer is asked for, or not.
    pub stream: Option<bool>,
}

impl When {
    /// The last user message contains `text`.
    #[must_use]
    pub fn last_user(text: &str) -> Self {
        Self {
            last_user: Some(text.to_owned()),
            ..Self::default()
        }
    }

    /// The history ends with a tool result.
    #[must_use]
    pub fn tool_result() -> Self {
        Self {
            tool_result: Some(true),
            ..Self::default()
        }
    }

    /// The request of this place among the requests for an answer, from 0.
    #[must_use]
    pub fn call(index: u64) -> Self {
        Self {
            call: Some(index),
            ..Self::default()
        }
    }

    /// The model asked for is `name`.
    #[must_use]
    pub fn model(name: &str) -> Self {
        Self {
            model: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// The system prompt contains `text`.
    #[must_use]
    pub fn system(text: &str) -> Self {
        Self {
            system: Some(text.to_owned()),
            ..Self::default()
        }
    }

    /// Whether the request fits.
    #[must_use]
    pub fn fits(&self, request: &Request) -> bool {
        let contains = |wanted: &Option<String>, held: &dyn Fn() -> Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|part| held().is_some_and(|text| text.contains(part)))
        };
        self.call.is_none_or(|call| request.call == Some(call))
            && self.wire.is_none_or(|wire| request.wire == Some(wire))
            && self
                .model
                .as_ref()
                .is_none_or(|model| request.model() == model)
            && self
                .stream
                .is_none_or(|stream| request.streamed() == stream)
            && self
                .tool_result
                .is_none_or(|wanted| request.ends_with_tool_result() == wanted)
            && contains(&self.last_user, &|| request.last_user())
            && contains(&self.system, &|| Some(request.system()))
            && contains(&self.tool_result_text, &|| request.last_tool_result())
    }
}

impl Default for Script {
    /// Twenty tokens of text, always.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            replies: VecDeque::new(),
            otherwise: Reply::tokens(20),
            accept: AcceptFault::Serve,
            serves: Vec::new(),
            models: vec!["scripted".to_owned()],
            answer: None,
        }
    }
}

impl Script {
    /// Each reply once, in order; then the default reply.
    #[must_use]
    pub fn replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: replies.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Always the same reply.
    #[must_use]
    pub fn always(reply: Reply) -> Self {
        Self {
            otherwise: reply,
            ..Self::default()
        }
    }

    /// Calls the tool; after a tool result says `final_text`. `arguments` is JSON text. Works for
    /// any number of conversations and turns at once.
    #[must_use]
    pub fn tool_loop(name: &str, arguments: &str, final_text: &str) -> Self {
        Self::always(Reply::tool_call(name, arguments))
            .rule(When::tool_result(), Reply::text(final_text))
    }

    /// Asks the function; where it has no answer, the default reply.
    #[must_use]
    pub fn answering(answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self {
            answer: Some(Answerer(Arc::new(answer))),
            ..Self::default()
        }
    }

    /// One more reply at the end of the queue.
    #[must_use]
    pub fn then(mut self, reply: Reply) -> Self {
        self.replies.push_back(reply);
        self
    }

    /// One more rule without limit.
    #[must_use]
    pub fn rule(self, when: When, reply: Reply) -> Self {
        self.rule_times(when, Times::Always, reply)
    }

    /// One more rule that answers once.
    #[must_use]
    pub fn once(self, when: When, reply: Reply) -> Self {
        self.rule_times(when, Times::Count(1), reply)
    }

    /// One more rule.
    #[must_use]
    pub fn rule_times(mut self, when: When, times: Times, reply: Reply) -> Self {
        self.rules.push(Rule { when, times, reply });
        self
    }

    /// The default reply.
    #[must_use]
    pub fn otherwise(mut self, reply: Reply) -> Self {
        self.otherwise = reply;
        self
    }

    /// What happens to new connections.
    #[must_use]
    pub fn accept(mut self, fault: AcceptFault) -> Self {
        self.accept = fault;
        self
    }

    /// The only wires that exist here.
    #[must_use]
    pub fn serves(mut self, wires: &[Wire]) -> Self {
        self.serves = wires.to_vec();
        self
    }

    /// The models that are listed.
    #[must_use]
    pub fn models(mut self, names: &[&str]) -> Self {
        self.models = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// The wires that exist here.
    pub(crate) fn wires(&self) -> &[Wire] {
        if self.serves.is_empty() {
            &Wire::ALL
        } else {
            &self.serves
        }
    }
}
