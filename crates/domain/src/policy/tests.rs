//! The strictest opinion stands, in whatever order; and when the three labels meet.

use super::*;

fn opinion(policy: Policy, name: usize) -> Opinion {
    Opinion {
        by: By::Rule {
            level: Level::Server,
            name: name.to_string(),
        },
        policy,
        why: None,
    }
}

const POLICIES: [Policy; 4] = [Policy::Auto, Policy::Ask, Policy::AlwaysAsk, Policy::Deny];

/// Every list of up to five opinions.
fn lists() -> impl Iterator<Item = Vec<Opinion>> {
    (0..=5_u32).flat_map(|length| {
        (0..4_usize.pow(length)).map(move |mut code| {
            (0..length as usize)
                .map(|name| {
                    let policy = POLICIES[code % 4];
                    code /= 4;
                    opinion(policy, name)
                })
                .collect()
        })
    })
}

#[test]
fn the_strictest_opinion_stands_and_everybody_who_holds_it_is_named() {
    for opinions in lists() {
        let judgement = strictest(opinions.clone(), Labels::NONE);
        let greatest = opinions.iter().map(|opinion| opinion.policy).max();
        assert_eq!(judgement.policy, greatest.unwrap_or_default());
        let holders: Vec<Opinion> = opinions
            .into_iter()
            .filter(|opinion| opinion.policy == judgement.policy && opinion.policy != Policy::Auto)
            .collect();
        assert_eq!(judgement.decided_by, holders);
    }
}

#[test]
fn one_more_opinion_never_loosens_and_order_does_not_matter() {
    for opinions in lists() {
        let judgement = strictest(opinions.clone(), Labels::NONE);
        for more in POLICIES {
            let mut longer = opinions.clone();
            longer.push(opinion(more, 9));
            assert!(strictest(longer, Labels::NONE).policy >= judgement.policy);
        }
        let mut reversed = opinions;
        reversed.reverse();
        assert_eq!(strictest(reversed, Labels::NONE).policy, judgement.policy);
    }
}

#[test]
fn only_a_plain_question_can_be_answered_by_a_grant() {
    for policy in POLICIES {
        let judgement = strictest([opinion(policy, 0)], Labels::NONE);
        assert_eq!(judgement.is_grantable(), policy == Policy::Ask);
    }
}

#[test]
fn why_names_everybody_who_decided() {
    let judgement = strictest(
        [
            Opinion {
                by: By::Tool,
                policy: Policy::Ask,
                why: None,
            },
            Opinion {
                by: By::Rule {
                    level: Level::Org,
                    name: "production".to_owned(),
                },
                policy: Policy::Ask,
                why: Some("production is looked at".to_owned()),
            },
        ],
        Labels::NONE,
    );
    assert_eq!(
        judgement.why(),
        "the policy of the tool asks for approval; org rule `production` asks for approval: production is looked at"
    );
}

#[test]
fn a_judgement_comes_back_from_the_store_as_it_was() {
    let judgement = strictest(
        [Opinion {
            by: By::RuleOfTwo,
            policy: Policy::AlwaysAsk,
            why: Some("three meet".to_owned()),
        }],
        [Label::ReadsPrivate, Label::ChangesState]
            .into_iter()
            .collect(),
    );
    let text = serde_json::to_string(&judgement).expect("it is JSON");
    assert_eq!(
        text,
        r#"{"policy":"always_ask","decided_by":[{"by":"rule_of_two","policy":"always_ask","why":"three meet"}],"labels":["reads_private","changes_state"]}"#
    );
    assert_eq!(
        serde_json::from_str::<Judgement>(&text).expect("it is a judgement"),
        judgement
    );
}

fn sets() -> impl Iterator<Item = Labels> {
    (0..8_usize).map(|bits| {
        Label::ALL
            .into_iter()
            .enumerate()
            .filter(|(place, _)| bits >> place & 1 == 1)
            .map(|(_, label)| label)
            .collect()
    })
}

#[test]
fn a_run_never_gets_all_three_without_being_asked() {
    for met in sets() {
        for call in sets() {
            let together = met.and(call);
            if !met.is_complete() {
                assert_eq!(
                    completes(met, call),
                    together.is_complete(),
                    "{met:?} {call:?}"
                );
            } else {
                assert_eq!(completes(met, call), call.has(Label::ChangesState));
            }
        }
    }
}

#[test]
fn a_rule_is_about_the_tools_that_it_names() {
    let about = |tools: &[&str], tool: &str| {
        RuleText {
            name: "r".to_owned(),
            tools: tools.iter().map(|name| (*name).to_owned()).collect(),
            when: None,
            policy: Policy::Ask,
            why: None,
        }
        .is_about(tool)
    };
    assert!(about(&[], "anything"));
    assert!(about(&["pay"], "pay"));
    assert!(!about(&["pay"], "payroll"));
    assert!(about(&["github__*"], "github__merge"));
    assert!(!about(&["github__*"], "gitlab__merge"));
    assert!(about(&["*"], "anything"));
}
