//! Grants never reach beyond what they were made for.

use super::*;
use crate::KeyId;
use crate::policy::{By, Labels, Opinion, strictest};
use crate::tool::Policy;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

const T0: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn grant() -> Grant {
    Grant {
        id: GrantId::new(Uuid::from_u128(1)),
        agent_type: "a".to_owned(),
        tool_name: "t".to_owned(),
        tool_version: "v".to_owned(),
        predicate: "args.x == 1".to_owned(),
        created_by: Principal {
            key_id: KeyId::new(Uuid::from_u128(2)),
            name: "p".to_owned(),
            role: None,
        },
        created_at: T0,
        expires_at: T0.plus(Duration::from_secs(60)),
        uses_max: 3,
        used: 0,
        approval_id: ApprovalId::new(Uuid::from_u128(3)),
        revoked_at: None,
        revoked_by: None,
    }
}

fn said(policy: Policy) -> Judgement {
    let opinion = Opinion {
        by: By::Tool,
        policy,
        why: None,
    };
    strictest([opinion], Labels::NONE)
}

proptest! {
    #[test]
    fn a_grant_never_broadens(
        agent in "[ab]", tool in "[tu]", version in "[vw]", used in 0_u32..5, seconds in 0_u64..120,
        revoked in any::<bool>(), policy in 0_usize..4,
    ) {
        let policy = [Policy::Auto, Policy::Ask, Policy::AlwaysAsk, Policy::Deny][policy];
        let at = T0.plus(Duration::from_secs(seconds));
        let grant = Grant { used, revoked_at: revoked.then_some(T0), ..grant() };
        let scope = GrantScope {
            agent_type: agent.clone(),
            tool_name: tool.clone(),
            tool_version: version.clone(),
        };
        let expected = (agent.as_str(), tool.as_str(), version.as_str()) == ("a", "t", "v")
            && used < 3
            && seconds < 60
            && !revoked
            && policy == Policy::Ask;
        prop_assert_eq!(grant.may_answer(&scope, &said(policy), at), expected);
    }

    #[test]
    fn a_proposal_is_short_plain_and_the_same_whatever_the_order(
        samples in proptest::collection::vec(proptest::collection::btree_map("[a-c\u{202e}\"]{1,2}", -3_i64..3, 0..4), 0..6)
    ) {
        let mut samples: Vec<serde_json::Map<String, serde_json::Value>> = samples
            .into_iter()
            .map(|sample| sample.into_iter().map(|(name, value)| (name, json!(value))).collect())
            .collect();
        let proposal = propose(&samples);
        if let Some(proposal) = &proposal {
            prop_assert!(proposal.predicate.len() <= 1024);
            prop_assert!(proposal.predicate.chars().all(|c| (' '..='~').contains(&c)));
            prop_assert_eq!(proposal.covers, samples.len());
        }
        samples.reverse();
        prop_assert_eq!(propose(&samples).map(|p| p.predicate), proposal.map(|p| p.predicate));
    }
}

fn proposed(samples: serde_json::Value) -> Option<String> {
    let samples: Vec<_> = samples
        .as_array()
        .expect("a list")
        .iter()
        .map(|sample| sample.as_object().expect("an object").clone())
        .collect();
    propose(&samples).map(|proposal| proposal.predicate)
}

#[test]
fn identical_calls_are_proposed_exactly() {
    let call =
        json!({"environment": "staging", "percent": 10, "share": 0.5, "tags": ["a", {"b": null}]});
    assert_eq!(
        proposed(json!([call, call])).as_deref(),
        Some(
            r#"args.all(name, name in ["environment", "percent", "share", "tags"]) && args["environment"] == "staging" && args["percent"] == 10 && args["share"] == 0.5 && args["tags"] == ["a", {"b": null}]"#
        )
    );
}

#[test]
fn what_differs_is_listed_and_what_is_missing_may_be() {
    assert_eq!(
        proposed(json!([{"m": "a"}, {"m": "b", "n": 1}])).as_deref(),
        Some(
            r#"args.all(name, name in ["m", "n"]) && args["m"] in ["a", "b"] && (!("n" in args) || args["n"] == 1)"#
        )
    );
    assert_eq!(proposed(json!([{}])).as_deref(), Some("size(args) == 0"));
    assert_eq!(proposed(json!([])), None);
}

#[test]
fn no_pattern_is_no_proposal() {
    let many: Vec<_> = (0..9).map(|n| json!({ "n": n })).collect();
    assert_eq!(proposed(json!(many)), None);
    assert_eq!(proposed(json!([{ "s": "x".repeat(2000) }])), None);
    assert_eq!(proposed(json!([{ "n": i64::MIN }])), None);
}
