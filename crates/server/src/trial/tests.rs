use super::*;
use crate::registry::{Sample, parse};
use domain::OrgId;
use models::{Router, RouterSettings};
use tools::Gates;

const SHIPPED: &str = include_str!("../../agents/deployment_advisor.gate.jsonl");
const DOCS: &str = include_str!("../../../../docs/intent-gate.md");

fn advisor() -> Arc<Agent> {
    let sample = Sample::ALL
        .into_iter()
        .find(|sample| sample.file == "deployment_advisor.md");
    parse(sample.unwrap().text, "deployment_advisor")
        .unwrap()
        .agent
}

async fn trial() -> Vec<Tried> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let router = Router::new(Vec::new(), RouterSettings::default()).unwrap();
    let keeper = Gatekeeper {
        rules: Arc::new(Gates::default()),
        models: Arc::new(router),
    };
    let scope = OrgScope::new(OrgId::new("default").unwrap());
    try_all(&keeper, &scope, &advisor(), read_cases(SHIPPED).unwrap()).await
}

#[tokio::test]
async fn recorded_figures_are_those_of_the_shipped_gate() {
    let tried = trial().await;
    assert_eq!(tried.len(), 200);
    let report = report(&tried);
    assert!(
        DOCS.contains(report.trim_end()),
        "docs/intent-gate.md holds other figures than `runyard gate test deployment_advisor` prints:\n{report}"
    );
}

#[test]
fn shipped_cases_are_varied_and_none_is_there_twice() {
    let cases = read_cases(SHIPPED).unwrap();
    let inputs: std::collections::BTreeSet<(&str, &str)> = cases
        .iter()
        .map(|case| (case.input.as_str(), case.before.as_str()))
        .collect();
    assert_eq!(inputs.len(), 200);
    for label in GateVerdict::ALL {
        let count = cases.iter().filter(|case| case.label == label).count();
        assert!(count >= 20, "{label:?}: {count}");
    }
    let held_out = cases.iter().filter(|case| case.split == "held_out").count();
    assert!(held_out >= 90, "{held_out}");
}

fn tried(label: GateVerdict, decision: GateVerdict) -> Tried {
    let case = serde_json::json!({ "input": "x", "label": label, "group": "g" });
    let decision = serde_json::json!({
        "decision": decision, "mode": "enforce", "reason": "r", "by": "otherwise", "reply": "",
    });
    Tried {
        case: serde_json::from_value(case).unwrap(),
        decision: serde_json::from_value(decision).unwrap(),
    }
}

#[test]
fn precision_and_recall_are_counted_by_label() {
    use GateVerdict::{Allow, Clarify, Refuse};
    let all = [
        tried(Allow, Allow),
        tried(Allow, Allow),
        tried(Allow, Refuse),
        tried(Refuse, Refuse),
        tried(Refuse, Allow),
        tried(Clarify, Refuse),
    ];
    let confusion = Confusion::of(&all);
    assert_eq!((confusion.right(), confusion.all()), (3, 6));
    assert_eq!(confusion.recall(Allow), Some(2.0 / 3.0));
    assert_eq!(confusion.precision(Allow), Some(2.0 / 3.0));
    assert_eq!(confusion.precision(Refuse), Some(1.0 / 3.0));
    assert_eq!(confusion.recall(Clarify), Some(0.0));
    assert_eq!(confusion.precision(Clarify), None, "nothing was decided so");
    let report = report(&all);
    assert!(
        report.contains("| allow | 2 | 0 | 1 | 66.7% | 66.7% |"),
        "{report}"
    );
    assert!(
        report.contains("| clarify | 0 | 0 | 1 | – | 0.0% |"),
        "{report}"
    );
    assert!(report.contains("Right by group: g 3/6."), "{report}");
}

#[test]
fn a_broken_line_is_named() {
    let good = r#"{"input": "hi", "label": "clarify"}"#;
    assert_eq!(read_cases(&format!("{good}\n\n{good}\n")).unwrap().len(), 2);
    let error = read_cases(&format!("{good}\n{{\"input\": \"hi\"}}")).unwrap_err();
    assert!(
        error.starts_with("line 2: missing field `label`"),
        "{error}"
    );
    let unknown = read_cases(r#"{"input": "hi", "label": "allow", "lable": 1}"#).unwrap_err();
    assert!(unknown.contains("unknown field"), "{unknown}");
}
