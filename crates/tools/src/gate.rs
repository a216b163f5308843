//! The rules of intent gates: patterns compiled once for each version of an agent, and searched in linear time. It
//! decides nothing.

mod fold;

#[cfg(test)]
mod tests;

use domain::agent::{Agent, IntentGate};
use domain::gate::{GateError, GateInput, GateRule, GateSettings};
use domain::ports::gate::{GateRules, PreparedGate};
use fold::{folded, squeezed};
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Agents' versions kept ready; the map is emptied when more come, which costs a compilation each.
const READY_MAX: usize = 256;
/// Bytes that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 4 << 20;

/// Every gate's rules, made ready when first asked for.
#[derive(Default)]
pub struct Gates {
    ready: Mutex<HashMap<(String, String), Arc<Gate>>>,
}

/// One gate with its patterns.
#[derive(Debug)]
pub struct Gate {
    settings: GateSettings,
    tests: Vec<Test>,
}

#[derive(Debug)]
struct Test {
    regex: Option<Regex>,
    phrases: Option<Regex>,
    squeezed: Vec<String>,
    words_max: Option<usize>,
    opening: Option<bool>,
}

/// The input in the forms that rules look at.
struct Forms<'a> {
    text: &'a str,
    folded: String,
    squeezed: String,
    words: usize,
    opening: bool,
}

impl GateRules for Gates {
    fn prepare(&self, agent: &Agent) -> Result<Arc<dyn PreparedGate>, GateError> {
        let key = (agent.agent_type.clone(), agent.version.clone());
        let found = self.ready().get(&key).cloned();
        if let Some(gate) = found {
            return Ok(gate);
        }
        let gate = agent.intent_gate.as_ref().ok_or(GateError::Empty)?;
        let gate = Arc::new(Gate::new(gate)?);
        let mut ready = self.ready();
        if ready.len() >= READY_MAX {
            ready.clear();
        }
        ready.insert(key, gate.clone());
        Ok(gate)
    }
}

impl Gates {
    fn ready(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<Gate>>> {
        self.ready.lock().expect("no holder of this lock panics")
    }
}

impl Gate {
    /// # Errors
    /// If the settings cannot be used; the error names the rule.
    pub fn new(gate: &IntentGate) -> Result<Self, GateError> {
        let settings = GateSettings::of(gate)?;
        let tests = settings
            .rules
            .iter()
            .map(Test::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { settings, tests })
    }
}

impl PreparedGate for Gate {
    fn settings(&self) -> &GateSettings {
        &self.settings
    }

    fn first_match(&self, input: &GateInput) -> Option<usize> {
        let folded = folded(&input.text);
        let forms = Forms {
            text: &input.text,
            squeezed: squeezed(&folded),
            words: folded.split_whitespace().count(),
            opening: input.before.is_empty(),
            folded,
        };
        self.tests.iter().position(|test| test.matches(&forms))
    }
}

impl Test {
    fn new(rule: &GateRule) -> Result<Self, GateError> {
        let unfit = |error: &regex::Error| GateError::Rule {
            rule: rule.name.clone(),
            why: error.to_string().replace('\n', " "),
        };
        let compile = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            builder
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| unfit(&error))
        };
        let phrases = match rule.phrases.as_slice() {
            [] => None,
            phrases => Some(compile(&any_phrase(phrases))?),
        };
        Ok(Self {
            regex: rule.regex.as_deref().map(compile).transpose()?,
            phrases,
            squeezed: rule
                .squeezed
                .iter()
                .map(|text| squeezed(&folded(text)))
                .collect(),
            words_max: rule.words_max,
            opening: rule.opening,
        })
    }

    fn matches(&self, forms: &Forms<'_>) -> bool {
        let regex = |regex: &Regex| regex.is_match(forms.text) || regex.is_match(&forms.folded);
        let hidden = |text: &String| forms.squeezed.contains(text.as_str());
        self.opening.is_none_or(|opening| opening == forms.opening)
            && self.words_max.is_none_or(|most| forms.words <= most)
            && self.regex.as_ref().is_none_or(regex)
            && self
                .phrases
                .as_ref()
                .is_none_or(|phrases| phrases.is_match(&forms.folded))
            && (self.squeezed.is_empty() || self.squeezed.iter().any(hidden))
    }
}

/// One pattern for all phrases: whole words, any white space between them.
fn any_phrase(phrases: &[String]) -> String {
    let word = |word: &str| match word.strip_suffix('*') {
        Some(beginning) => format!(r"{}\w*", regex::escape(beginning)),
        None => regex::escape(word),
    };
    let phrase = |phrase: &String| {
        let folded = folded(phrase);
        let words: Vec<String> = folded.split_whitespace().map(word).collect();
        words.join(r"\s+")
    };
    let all: Vec<String> = phrases.iter().map(phrase).collect();
    format!(r"(?:^|[^\w])(?:{})(?:[^\w]|$)", all.join("|"))
}
