//! What was decided is what runs: every change between decision and dispatch is refused, and arguments that two readers
//! could understand differently never get as far as a decision.

use crate::approve::{approved, approver};
use crate::support::{LIMIT, NOW, StillClock, agent, before, context, plan_one, scope};
use domain::ports::tools::{CallContext, Tools};
use domain::run::{Call, Verdict};
use domain::tool::{Effect, Policy, ToolOutcome};
use domain::{OrgId, OrgScope, RunId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tools::{Definition, Ended, Executor, Gateway, Tool, Work};
use uuid::Uuid;

/// Keeps the arguments that it was called with.
#[derive(Default)]
struct Pay(Mutex<Vec<Value>>);

impl Executor for Pay {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        let arguments = Value::Object(work.arguments.clone());
        self.0.lock().unwrap().push(arguments.clone());
        std::future::ready(Ended::Answered {
            value: arguments,
            is_error: false,
        })
        .boxed()
    }
}

fn gateway(pay: &Arc<Pay>, description: &str, effect: Effect) -> Gateway {
    let mut definition = Definition::new("pay", description, effect);
    definition.policy = Policy::Ask;
    let properties = json!({"to": {"type": "string"}, "sum": {"type": "number"}});
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    definition.input_schema = schema.as_object().unwrap().clone();
    let tool = Tool::new(definition, Arc::clone(pay) as Arc<dyn Executor>).unwrap();
    Gateway::with(vec![tool], Arc::new(StillClock))
}

/// Every text that differs from `text` in one byte's lowest bits and is still text.
fn altered(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for index in 0..text.len() {
        for flip in [1, 2, 4] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[index] ^= flip;
            all.extend(String::from_utf8(bytes));
        }
    }
    all
}

/// Every value that differs from the call's in one byte of what is written of it.
fn forgeries(call: &Call) -> Vec<Call> {
    let written = serde_json::to_string(call).unwrap();
    altered(&written)
        .iter()
        .filter_map(|text| serde_json::from_str::<Call>(text).ok())
        .filter(|forged| forged != call)
        // When it was asked for and sent, and how often, decides nothing.
        .filter(|forged| {
            let mut same = forged.clone();
            same.requested_at = call.requested_at;
            same.attempt = call.attempt;
            same.state = call.state.clone();
            same != *call
        })
        .collect()
}

#[tokio::test]
async fn every_changed_byte_between_decision_and_dispatch_is_refused() {
    let pay = Arc::new(Pay::default());
    let gateway = gateway(&pay, "pays", Effect::Unsafe);
    let context = context(agent(&["pay"]));
    let arguments = r#"{"to":"alice","sum":12.5}"#;
    let planned = plan_one(&gateway, &context, "pay", arguments).await;
    let (call, _) = approved(&context, planned);
    let execute = |scope: OrgScope, context: CallContext, call: Call| {
        let gateway = &gateway;
        async move { gateway.execute(&scope, &context, &call, LIMIT).await }
    };
    let mut refused = 0;
    for forged in forgeries(&call) {
        before(execute(scope(), context.clone(), forged).await);
        refused += 1;
    }
    assert!(refused > 300, "only {refused} forgeries were made");
    for org in altered(scope().org().as_str()) {
        let Ok(org) = OrgId::new(&org) else { continue };
        before(execute(OrgScope::new(org), context.clone(), call.clone()).await);
    }
    for run in altered(&context.run_id.to_string()) {
        let Ok(run_id) = run.parse::<RunId>() else {
            continue;
        };
        let other = CallContext {
            run_id,
            ..context.clone()
        };
        before(execute(scope(), other, call.clone()).await);
    }
    let mut stranger = context.clone();
    stranger.caller = approver();
    before(execute(scope(), stranger, call.clone()).await);
    assert_eq!(*pay.0.lock().unwrap(), [] as [Value; 0], "nothing was sent");
    let outcome = execute(scope(), context, call).await;
    assert!(matches!(outcome, ToolOutcome::Committed(_)), "{outcome:?}");
    assert_eq!(
        *pay.0.lock().unwrap(),
        [json!({"to": "alice", "sum": 12.5})]
    );
}

#[tokio::test]
async fn every_changed_byte_of_the_definition_is_refused() {
    let pay = Arc::new(Pay::default());
    let first = gateway(&pay, "pays", Effect::Unsafe);
    let context = context(agent(&["pay"]));
    let planned = plan_one(&first, &context, "pay", "{}").await;
    let (call, _) = approved(&context, planned);
    let mut others: Vec<Gateway> = altered("pays")
        .iter()
        .map(|description| gateway(&pay, description, Effect::Unsafe))
        .collect();
    others.push(gateway(&pay, "pays", Effect::Keyed));
    for other in others {
        let why = before(other.execute(&scope(), &context, &call, LIMIT).await);
        assert!(why.contains("changed"), "{why}");
    }
    assert_eq!(*pay.0.lock().unwrap(), [] as [Value; 0]);
}

#[tokio::test]
async fn approval_is_good_until_its_time_is_over() {
    struct Later(Timestamp);
    impl domain::ports::clock::Clock for Later {
        fn now(&self) -> Timestamp {
            self.0
        }
        fn uuid(&self) -> Uuid {
            Uuid::nil()
        }
    }
    let pay = Arc::new(Pay::default());
    let gateway = gateway(&pay, "pays", Effect::Unsafe);
    let context = context(agent(&["pay"]));
    let planned = plan_one(&gateway, &context, "pay", "{}").await;
    let (call, approval) = approved(&context, planned);
    let late = |after: Duration| {
        let mut definition = Definition::new("pay", "pays", Effect::Unsafe);
        definition.policy = Policy::Ask;
        let properties = json!({"to": {"type": "string"}, "sum": {"type": "number"}});
        let schema =
            json!({"type": "object", "properties": properties, "additionalProperties": false});
        definition.input_schema = schema.as_object().unwrap().clone();
        let tool = Tool::new(definition, Arc::clone(&pay) as Arc<dyn Executor>).unwrap();
        Gateway::with(vec![tool], Arc::new(Later(NOW.plus(after))))
    };
    let left = approval.expires_at.since(NOW);
    let why = before(late(left).execute(&scope(), &context, &call, LIMIT).await);
    assert!(why.contains("time was over"), "{why}");
    let in_time = late(left - Duration::from_secs(1));
    let outcome = in_time.execute(&scope(), &context, &call, LIMIT).await;
    assert!(matches!(outcome, ToolOutcome::Committed(_)), "{outcome:?}");
}

#[tokio::test]
async fn deceptive_arguments_run_as_shown_or_not_at_all() {
    let pay = Arc::new(Pay::default());
    let gateway = gateway(&pay, "pays", Effect::Unsafe);
    let context = context(agent(&["pay"]));
    let padded = format!("alice{}mallory", " ".repeat(10_000));
    let shown = [
        json!({"to": "\u{202e}ecila"}),
        json!({"to": "al\u{200b}ice\u{feff}"}),
        json!({"to": "аlice"}),
        json!({ "to": padded }),
        json!({"to": "alice\u{e0041}\u{2066}\r\n\u{1b}[2J"}),
        json!({"to": "a", "sum": -0.0}),
        json!({"sum": 9_007_199_254_740_993_u64}),
        json!({"sum": 1e300}),
    ];
    for arguments in &shown {
        let planned = plan_one(&gateway, &context, "pay", &arguments.to_string()).await;
        let (call, approval) = approved(&context, planned);
        let outcome = gateway.execute(&scope(), &context, &call, LIMIT).await;
        assert!(matches!(outcome, ToolOutcome::Committed(_)), "{outcome:?}");
        let ran = pay.0.lock().unwrap().pop().unwrap();
        assert_eq!(
            ran.to_string(),
            approval.arguments.to_string(),
            "byte for byte"
        );
        assert_eq!(ran.to_string(), arguments.to_string());
    }
    for arguments in [
        r#"{"to":"alice","to":"mallory"}"#,
        r#"{"to":"alice","\u0074o":"mallory"}"#,
        r#"{"to":"\ud800"}"#,
        r#"{"to":"\udc00\ud800"}"#,
        r#"{"sum":1e400}"#,
        r#"{"sum":0.1000000000000000055511151231257827}"#,
        r#"{"sum":18446744073709551616}"#,
        r#"{"sum":NaN}"#,
        r#"{"to":"a\u0000b"}"#,
        r#"{"to":"alice"} {"to":"mallory"}"#,
        "{\"to\":\"alice\",}",
        r#"{"to":"alice","approved":true}"#,
    ] {
        let planned = plan_one(&gateway, &context, "pay", arguments).await;
        assert!(
            matches!(planned.verdict, Verdict::Reject { .. }),
            "{arguments}: {:?}",
            planned.verdict
        );
    }
    assert_eq!(*pay.0.lock().unwrap(), [] as [Value; 0]);
}
