//! A gate on trial: labelled inputs put to it as runs would be, and what came of them counted. It knows no command line.

use domain::agent::{Agent, GateMode};
use domain::gate::{DecidedBy, GateDecision, GateInput, GateVerdict};
use domain::{OrgScope, RunId};
use engine::Gatekeeper;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use uuid::Uuid;

/// One labelled input: a line of a cases file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub input: String,
    /// What the agent said just before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// The right decision.
    pub label: GateVerdict,
    /// Cases of a kind are counted together.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Such as `tuned` for cases that the rules were written by, and `held_out` for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub split: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A case and what the gate said of it.
#[derive(Debug, Clone)]
pub struct Tried {
    pub case: Case,
    pub decision: GateDecision,
}

/// Right and wrong decisions: `counts[label][decision]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    counts: [[u32; 3]; 3],
}

/// Reads a cases file; the error names the line.
pub fn read_cases(text: &str) -> Result<Vec<Case>, String> {
    let lines = text.lines().enumerate();
    let full = lines.filter(|(_, line)| !line.trim().is_empty());
    full.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
    })
    .collect()
}

/// Puts every case to the agent's gate, one after the other, as it would enforce.
pub async fn try_all(
    keeper: &Gatekeeper,
    scope: &OrgScope,
    agent: &Agent,
    cases: Vec<Case>,
) -> Vec<Tried> {
    let mut agent = agent.clone();
    if let Some(gate) = &mut agent.intent_gate {
        gate.mode = GateMode::Enforce;
    }
    let agent = Arc::new(agent);
    let mut tried = Vec::with_capacity(cases.len());
    for case in cases {
        let input = GateInput {
            text: case.input.clone(),
            before: case.before.clone(),
        };
        let run = RunId::new(Uuid::now_v7());
        let decision = keeper.judge(scope, &agent, run, &input).await;
        tried.push(Tried { case, decision });
    }
    tried
}

impl Tried {
    pub fn is_right(&self) -> bool {
        self.case.label == self.decision.decision
    }

    /// What decided, in a word or two.
    pub fn decided_by(&self) -> String {
        match &self.decision.by {
            DecidedBy::Rule { rule } => format!("rule {rule}"),
            DecidedBy::Model { lane, model } => format!("{model} in lane {lane}"),
            DecidedBy::Otherwise => "no rule matched".to_owned(),
            DecidedBy::Error { error } => format!("error: {error}"),
        }
    }
}

impl Confusion {
    pub fn of<'a>(tried: impl IntoIterator<Item = &'a Tried>) -> Self {
        let mut confusion = Self::default();
        for one in tried {
            confusion.counts[place(one.case.label)][place(one.decision.decision)] += 1;
        }
        confusion
    }

    pub fn count(&self, label: GateVerdict, decision: GateVerdict) -> u32 {
        self.counts[place(label)][place(decision)]
    }

    pub fn all(&self) -> u32 {
        self.counts.iter().flatten().sum()
    }

    pub fn right(&self) -> u32 {
        GateVerdict::ALL
            .into_iter()
            .map(|verdict| self.count(verdict, verdict))
            .sum()
    }

    /// Of what was decided so, how much should have been.
    pub fn precision(&self, verdict: GateVerdict) -> Option<f64> {
        let decided = GateVerdict::ALL
            .into_iter()
            .map(|label| self.count(label, verdict))
            .sum();
        part(self.count(verdict, verdict), decided)
    }

    /// Of what should have been decided so, how much was.
    pub fn recall(&self, verdict: GateVerdict) -> Option<f64> {
        let labelled = self.counts[place(verdict)].iter().sum();
        part(self.count(verdict, verdict), labelled)
    }

    pub fn accuracy(&self) -> Option<f64> {
        part(self.right(), self.all())
    }
}

fn place(verdict: GateVerdict) -> usize {
    match verdict {
        GateVerdict::Allow => 0,
        GateVerdict::Clarify => 1,
        GateVerdict::Refuse => 2,
    }
}

fn part(some: u32, all: u32) -> Option<f64> {
    (all > 0).then(|| f64::from(some) / f64::from(all))
}

/// The figures as Markdown: for each split the confusion table with precision and recall, then each group.
pub fn report(tried: &[Tried]) -> String {
    let mut splits: BTreeMap<&str, Vec<&Tried>> = BTreeMap::new();
    for one in tried {
        splits.entry(one.case.split.as_str()).or_default().push(one);
    }
    let mut text = String::new();
    if splits.len() > 1 {
        section(&mut text, "all", tried.iter().collect());
    }
    for (split, tried) in splits {
        section(
            &mut text,
            if split.is_empty() { "all" } else { split },
            tried,
        );
    }
    text
}

fn section(text: &mut String, name: &str, tried: Vec<&Tried>) {
    let confusion = Confusion::of(tried.iter().copied());
    let accuracy = percent(confusion.accuracy());
    let (right, all) = (confusion.right(), confusion.all());
    let _ = writeln!(text, "**{name}**: {right} of {all} right ({accuracy})\n");
    let _ = writeln!(
        text,
        "| labelled | → allow | → clarify | → refuse | precision | recall |"
    );
    let _ = writeln!(text, "|---|---:|---:|---:|---:|---:|");
    for label in GateVerdict::ALL {
        let counts = GateVerdict::ALL.map(|decision| confusion.count(label, decision).to_string());
        let (precision, recall) = (confusion.precision(label), confusion.recall(label));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            label.as_str(),
            counts.join(" | "),
            percent(precision),
            percent(recall)
        );
    }
    let mut groups: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for one in tried {
        let group = groups.entry(one.case.group.as_str()).or_default();
        group.0 += u32::from(one.is_right());
        group.1 += 1;
    }
    groups.remove("");
    let shown: Vec<String> = groups
        .iter()
        .map(|(group, (right, all))| format!("{group} {right}/{all}"))
        .collect();
    if !shown.is_empty() {
        let _ = writeln!(text, "\nRight by group: {}.", shown.join(", "));
    }
    text.push('\n');
}

fn percent(part: Option<f64>) -> String {
    part.map_or("–".to_owned(), |part| format!("{:.1}%", part * 100.0))
}

#[cfg(test)]
mod tests;
