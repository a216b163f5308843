//! What policy says of a call: the tool's own word, the agent's, the rules of server, org and agent, and the rule of
//! two. It does not know what becomes of the call.

use crate::error::ConfigError;
use crate::executor::Tool;
use crate::limits;
use crate::rules::{
    Came, Condition, Considered, Evaluator, Facts, Rule, RuleError, Sources, Variable,
};
use domain::OrgScope;
use domain::agent::Agent;
use domain::policy::{
    By, Judgement, Label, Labels, Level, Opinion, RuleText, completes, strictest,
};
use domain::ports::tools::{CallContext, Wants};
use domain::tool::Policy;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// The rules of the configuration; those of agents come with the agents.
#[derive(Debug, Clone, Default)]
pub struct PolicyConfig {
    pub rules: Vec<PlacedRule>,
    pub orgs: BTreeMap<String, Vec<PlacedRule>>,
    pub rule_of_two: RuleOfTwo,
}

/// A rule and where it stands, for messages.
#[derive(Debug, Clone)]
pub struct PlacedRule {
    pub text: RuleText,
    pub place: String,
}

/// What is done where private data, untrusted content and a change of state meet in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOfTwo {
    /// A person is asked, each time.
    #[default]
    AlwaysAsk,
    /// A person is asked, or a grant answers.
    Ask,
    Off,
}

pub(super) struct Policies {
    server: Vec<Arc<Rule>>,
    orgs: HashMap<String, Vec<Arc<Rule>>>,
    rule_of_two: RuleOfTwo,
    /// Rules of agents by type and version, with the text that they were made from.
    agents: Mutex<HashMap<(String, String), OfAgent>>,
    evaluator: Evaluator,
}

struct OfAgent {
    texts: Vec<RuleText>,
    rules: Vec<Arc<Rule>>,
}

/// A call that could be made, to be judged.
pub(super) struct Case<'a> {
    pub tool: &'a Tool,
    pub arguments: &'a Value,
}

/// Every opinion on a call, those that do not matter included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliberation {
    /// What the tool and the agent's list say by themselves.
    pub standing: Vec<Opinion>,
    pub rules: Vec<Considered>,
    /// Set where the call would bring the three labels together.
    pub rule_of_two: Option<Opinion>,
    pub labels: Labels,
    /// What the run has met before the call.
    pub met: Labels,
}

impl Deliberation {
    pub fn judgement(&self) -> Judgement {
        let rules = self.rules.iter().filter_map(Considered::opinion);
        let opinions = self.standing.iter().cloned().chain(rules);
        strictest(opinions.chain(self.rule_of_two.clone()), self.labels)
    }
}

impl Policies {
    pub(super) fn compile(config: PolicyConfig) -> Result<Self, ConfigError> {
        let orgs = config.orgs.into_iter().map(|(org, rules)| {
            let rules = compile(Level::Org, rules)?;
            Ok((org, rules))
        });
        Ok(Self {
            server: compile(Level::Server, config.rules)?,
            orgs: orgs.collect::<Result<_, ConfigError>>()?,
            rule_of_two: config.rule_of_two,
            agents: Mutex::default(),
            evaluator: Evaluator::default(),
        })
    }

    /// Every rule of the configuration.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.server.iter().chain(self.orgs.values().flatten())
    }

    /// What must be known to judge this agent's calls beside what is always known.
    pub(super) fn wants(&self, scope: &OrgScope, agent: &Agent, all: Labels) -> Wants {
        let looks = |rule: &Arc<Rule>| {
            let condition = rule.condition.as_ref();
            condition.is_some_and(|condition| condition.looks_at(Variable::Thread))
        };
        Wants {
            thread_metadata: self.rules(scope, agent).iter().any(looks),
            conversation: self.rule_of_two != RuleOfTwo::Off && all.is_complete(),
        }
    }

    /// Judges calls of one turn in the order asked: each adds to what the next ones meet.
    pub(super) async fn deliberate(
        &self,
        scope: &OrgScope,
        context: &CallContext,
        earlier: Labels,
        cases: &[Case<'_>],
    ) -> Vec<Deliberation> {
        let rules = self.rules(scope, &context.agent);
        let mut considered = self.consider(&rules, context, cases).await.into_iter();
        let mut met = context.met.and(earlier);
        let mut judged = Vec::with_capacity(cases.len());
        for case in cases {
            let labels = case.tool.labels;
            let mut deliberation = Deliberation {
                standing: standing(case.tool, &context.agent),
                rules: considered.next().unwrap_or_default(),
                rule_of_two: None,
                labels,
                met,
            };
            deliberation.rule_of_two = self.two(met, labels);
            if deliberation.judgement().policy != Policy::Deny {
                met = met.and(labels);
            }
            judged.push(deliberation);
        }
        judged
    }

    /// Whether a predicate over arguments holds.
    pub(super) async fn holds(
        &self,
        condition: Condition,
        arguments: &Value,
    ) -> Result<bool, String> {
        let facts = Arc::new(Facts::of_arguments(arguments));
        let answers = self.evaluator.ask(vec![(Arc::new(condition), facts)]).await;
        answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err("it was not evaluated".to_owned()))
    }

    fn rules(&self, scope: &OrgScope, agent: &Agent) -> Vec<Arc<Rule>> {
        let org = self.orgs.get(scope.org().as_str());
        let mut rules = self.server.clone();
        rules.extend(org.into_iter().flatten().cloned());
        if !agent.rules.is_empty() {
            rules.extend(self.of_agent(agent));
        }
        rules
    }

    fn of_agent(&self, agent: &Agent) -> Vec<Arc<Rule>> {
        let key = (agent.agent_type.clone(), agent.version.clone());
        let known = |agents: &HashMap<_, OfAgent>| {
            let known: &OfAgent = agents.get(&key)?;
            (known.texts == agent.rules).then(|| known.rules.clone())
        };
        if let Some(rules) = known(&self.agents.lock().unwrap_or_else(PoisonError::into_inner)) {
            return rules;
        }
        let rules = agent.rules.iter().map(|text| {
            let compiled = Rule::compile(Level::Agent, text.clone());
            Arc::new(compiled.unwrap_or_else(|error| {
                tracing::warn!(agent.r#type = %agent.agent_type, rule.name = %text.name, error = %error, "a rule of a stored agent cannot be used and holds for every call");
                Rule::unconditional(Level::Agent, text.clone())
            }))
        });
        let rules: Vec<Arc<Rule>> = rules.collect();
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.len() >= limits::SPEC_LISTS_MAX {
            agents.clear();
        }
        let of_agent = OfAgent {
            texts: agent.rules.clone(),
            rules: rules.clone(),
        };
        agents.insert(key, of_agent);
        rules
    }

    /// What comes of each rule for each case. Where there are no conditions, nothing is evaluated and nobody waits.
    async fn consider(
        &self,
        rules: &[Arc<Rule>],
        context: &CallContext,
        cases: &[Case<'_>],
    ) -> Vec<Vec<Considered>> {
        let mut questions = Vec::new();
        for case in cases {
            let about = rules
                .iter()
                .filter(|rule| rule.text.is_about(&case.tool.spec.name))
                .filter_map(|rule| rule.condition.as_ref());
            let conditions: Vec<&Arc<Condition>> = about.collect();
            if conditions.is_empty() {
                continue;
            }
            let sources = Sources {
                arguments: case.arguments,
                context,
                tool: &case.tool.spec,
                labels: case.tool.labels,
            };
            let wanted = conditions
                .iter()
                .flat_map(|condition| condition.variables());
            let facts = Arc::new(Facts::gather(wanted, &sources));
            questions.extend(
                conditions
                    .into_iter()
                    .map(|condition| (Arc::clone(condition), Arc::clone(&facts))),
            );
        }
        let answers = if questions.is_empty() {
            Vec::new()
        } else {
            self.evaluator.ask(questions).await
        };
        let mut answers = answers.into_iter();
        let mut come = |rule: &Rule, case: &Case<'_>| {
            if !rule.text.is_about(&case.tool.spec.name) {
                return Came::OtherTool;
            }
            if rule.condition.is_none() {
                return Came::Matched;
            }
            match answers.next() {
                Some(Ok(true)) => Came::Matched,
                Some(Ok(false)) => Came::NoMatch,
                Some(Err(error)) => Came::Failed(error),
                None => Came::Failed("it was not evaluated".to_owned()),
            }
        };
        let mut all = Vec::with_capacity(cases.len());
        for case in cases {
            let considered = rules
                .iter()
                .map(|rule| Considered::of(rule, come(rule, case)));
            all.push(considered.collect());
        }
        all
    }

    fn two(&self, met: Labels, labels: Labels) -> Option<Opinion> {
        let policy = match self.rule_of_two {
            RuleOfTwo::AlwaysAsk => Policy::AlwaysAsk,
            RuleOfTwo::Ask => Policy::Ask,
            RuleOfTwo::Off => return None,
        };
        completes(met, labels).then(|| Opinion {
            by: By::RuleOfTwo,
            policy,
            why: Some(
                "private data, content that outsiders may have written, and a change of state would meet in this run"
                    .to_owned(),
            ),
        })
    }
}

fn compile(level: Level, rules: Vec<PlacedRule>) -> Result<Vec<Arc<Rule>>, ConfigError> {
    let mut compiled: Vec<Arc<Rule>> = Vec::new();
    for PlacedRule { text, place } in rules {
        let name = text.name.clone();
        if compiled.iter().any(|rule| rule.text.name == name) {
            return Err(ConfigError::RuleTwice { place, rule: name });
        }
        let rule = Rule::compile(level, text).map_err(|source: RuleError| ConfigError::Rule {
            place,
            rule: name,
            source,
        })?;
        compiled.push(Arc::new(rule));
    }
    Ok(compiled)
}

fn standing(tool: &Tool, agent: &Agent) -> Vec<Opinion> {
    let mut opinions = vec![Opinion {
        by: By::Tool,
        policy: tool.spec.policy,
        why: None,
    }];
    if let Some(policy) = agent.approvals.get(&tool.spec.name) {
        opinions.push(Opinion {
            by: By::Approvals {
                agent_type: agent.agent_type.clone(),
            },
            policy: *policy,
            why: None,
        });
    }
    opinions
}

/// What a tool that nobody offers any more may have read.
pub(super) fn unknown() -> Labels {
    [Label::ReadsPrivate, Label::ReadsUntrusted]
        .into_iter()
        .collect()
}
