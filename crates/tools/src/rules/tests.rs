//! Conditions that are refused when they are written, hostile ones among them, and what others come to.

use super::evaluate::Evaluator;
use super::facts::Facts;
use super::*;
use serde_json::{Value, json};

fn refusal(source: &str) -> String {
    match Condition::compile(source) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("not refused: {source}"),
    }
}

async fn put(source: &str, arguments: Value) -> Result<bool, String> {
    let condition = Condition::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let facts = Arc::new(Facts::of_arguments(&arguments));
    let evaluator = Evaluator::default();
    let mut answers = evaluator.ask(vec![(Arc::new(condition), facts)]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[test]
fn a_condition_that_can_never_match_is_refused() {
    for (source, said) in [
        ("arg.x == 1", "there is no `arg`"),
        (
            "agent.name == 'a'",
            "`agent` has no `name`; it has: type, version, metadata",
        ),
        ("!has(caller.roles)", "`caller` has no `roles`"),
        ("caller['roles'] == 'owner'", "`caller` has no `roles`"),
        (
            "caller.role == 'admin'",
            "\"admin\" is never there; there are: owner, developer",
        ),
        ("'admin' == caller.role", "\"admin\" is never there"),
        (
            "caller.role in ['owner', 'root']",
            "\"root\" is never there",
        ),
        ("caller.role == 1", "text is never equal to a number"),
        ("tool.effect == 'safe'", "\"safe\" is never there"),
        ("'reads_all' in tool.labels", "\"reads_all\" is never there"),
        (
            "tool.labels == 'reads_private'",
            "a list is never equal to text",
        ),
        ("5 in tool.labels", "a number is never equal to text"),
        ("agent.type.x == 1", "text has no fields"),
        ("tool.labels.reads_private", "a list has no fields"),
        (
            "'x' in caller.key",
            "`in` takes a list or an object, not text",
        ),
        ("'x' in caller", "\"x\" is never there"),
        ("size(args)", "it is a number, not true or false"),
        ("caller.key", "it is text, not true or false"),
        ("caller.key && true", "`&&` takes true or false, not text"),
        ("!caller.key", "`!` takes true or false, not text"),
        ("args.n > 1 ? 'yes' : 'no'", "it is text"),
        ("caller.key + 1 == 'a'", "`+` takes text, not a number"),
        ("caller.key - 1 == 2", "takes a number, not text"),
        ("agent.metadata < 3", "an object is never equal to a number"),
        (
            "caller.key.contains(5)",
            "`contains` takes text, not a number",
        ),
        ("true", "it looks at nothing of the call"),
        ("1 == 1", "it looks at nothing of the call"),
        ("'a' == 1", "text is never equal to a number"),
    ] {
        let refusal = refusal(source);
        assert!(refusal.contains(said), "{source}: {refusal}");
    }
}

#[test]
fn what_could_take_too_long_or_too_deep_is_refused() {
    let parentheses = format!("{}args.a{} == 1", "(".repeat(400), ")".repeat(400));
    let nots = format!("{}args.a", "!".repeat(1000));
    let minuses = format!("{}args.a == 1", "-".repeat(1000));
    let fields = format!("args{} == 1", ".a".repeat(500));
    let indexes = format!("args{} == 1", "[0]".repeat(330));
    let ands = vec!["args.a"; 110].join("&&");
    let sums = format!("args.a{} == 1", "+1".repeat(480));
    let lists = format!("{}args.a{} == []", "[".repeat(300), "]".repeat(300));
    let calls = format!("{}args.a{} == 1", "size(".repeat(150), ")".repeat(150));
    let ternaries = format!("args.a {} : true", "? true : args.a ".repeat(55));
    let walks = ["args.l.all(x, x > 1)"; 5].join("&&");
    for source in [
        &parentheses,
        &fields,
        &indexes,
        &sums,
        &lists,
        &calls,
        &ternaries,
        &walks,
    ] {
        assert!(Condition::compile(source).is_err(), "{}", &source[..30]);
    }
    // These may be read in a flat form; what counts is that reading and judging them ends.
    for source in [&nots, &minuses, &ands] {
        let _ = Condition::compile(source);
    }
}

#[test]
fn what_is_dear_or_unknown_is_refused() {
    for (source, said) in [
        ("x".repeat(1025), "it has 1025 bytes and may have 1024"),
        (
            "args.l.all(x, args.m.all(y, x == y))".to_owned(),
            "a walk over a list stands inside another",
        ),
        (
            "args.l.filter(x, args.m.exists(y, y == x)).size() > 1".to_owned(),
            "a walk over a list stands inside another",
        ),
        (
            "args.l.map(x, args.s + args.s).size() > 1".to_owned(),
            "`+` may not stand inside a walk",
        ),
        (
            "args.l.all(x, x.matches('(a+)+$'))".to_owned(),
            "`matches` may not stand inside a walk",
        ),
        (
            "args.s.matches(args.pattern)".to_owned(),
            "the pattern of `matches` must be written out",
        ),
        (
            "args.s.matches('(((a{1000}){1000}){1000})')".to_owned(),
            "cannot be used",
        ),
        ("args.s.matches('(')".to_owned(), "cannot be used"),
        (
            "args.l.all(args, args > 1)".to_owned(),
            "`args` names something else already",
        ),
        ("now() > args.t".to_owned(), "there is no function `now`"),
        (
            "args.s.lowerAscii() == 'a'".to_owned(),
            "there is no function",
        ),
        ("type(args.s) == string".to_owned(), "there is no"),
        ("Thing{a: 1} == args.a".to_owned(), "cannot be made here"),
        ("args.?a == 1".to_owned(), ""),
        ("args.a ==".to_owned(), ""),
        ("".to_owned(), ""),
        ("args.a == 1; drop".to_owned(), ""),
        ("args.a == \u{202e}1".to_owned(), ""),
        ("\u{0}".to_owned(), ""),
    ] {
        let refusal = refusal(&source);
        assert!(refusal.contains(said), "{source}: {refusal}");
    }
}

#[tokio::test]
async fn conditions_see_the_arguments_as_they_are() {
    let arguments = || {
        json!({
            "environment": "production", "percent": 50, "share": 0.5, "whole": 5.0, "flag": true, "none": null,
            "hosts": ["a.example", "b.example"], "deep": {"list": [{"n": 1}, {"n": 2}]},
            "large": 9_007_199_254_740_993_u64, "huge": u64::MAX, "a-b": 1
        })
    };
    for (source, holds) in [
        ("args.environment == 'production'", true),
        ("args.environment == 'staging'", false),
        ("args.percent > 10 && args.percent <= 50", true),
        ("args.percent > 10.5", true),
        ("args.share < 1", true),
        ("args.whole == 5", true),
        ("args.flag", true),
        ("args.none == null", true),
        ("has(args.gone)", false),
        ("!has(args.gone) || args.gone > 1", true),
        ("args.hosts.exists(host, host.startsWith('b'))", true),
        ("args.hosts.all(host, host.endsWith('.example'))", true),
        ("args.deep.list.exists_one(item, item.n == 2)", true),
        ("args.deep.list.filter(item, item.n > 1).size() == 1", true),
        ("args.deep == {'list': [{'n': 1}, {'n': 2}]}", true),
        ("args.large == 9007199254740993", true),
        ("args.large == 9007199254740992", false),
        ("args.huge > 9223372036854775807u", true),
        ("args['a-b'] == 1", true),
        ("'a-b' in args", true),
        ("args.environment.matches('^prod')", true),
        ("args.all(key, key in ['environment'])", false),
        ("size(args) == 11", true),
    ] {
        assert_eq!(put(source, arguments()).await, Ok(holds), "{source}");
    }
}

#[tokio::test]
async fn what_cannot_be_evaluated_says_so_and_quotes_no_argument() {
    let secret = "s3cret-canary";
    for (source, arguments) in [
        ("args.amount > 10", json!({ "other": secret })),
        ("args.amount > 10", json!({ "amount": secret })),
        ("args.amount > 10", json!({ "amount": [secret] })),
        ("args.amount > 10", json!({ "amount": null, "x": secret })),
        ("args.a.b.c == 1", json!({ "a": secret })),
        ("args.flag", json!({ "flag": secret })),
        ("args.list[5] == 1", json!({ "list": [secret] })),
        (
            "args.n / args.m > 1",
            json!({ "n": 1, "m": 0, "s": secret }),
        ),
        (
            "args.n * 9223372036854775807 > 1",
            json!({ "n": i64::MAX, "s": secret }),
        ),
        ("args.list.all(x, x > 1)", json!({ "list": ["a", secret] })),
        ("args.s.startsWith('a')", json!({ "s": { "a": secret } })),
        ("int(args.s) > 1", json!({ "s": secret })),
        (
            "timestamp(args.s) > timestamp('2026-01-01T00:00:00Z')",
            json!({ "s": secret }),
        ),
        ("args.list.size() > 1", json!({ "list": vec![secret; 257] })),
        (
            "args.a == 1",
            json!({ "a": 1, "list": vec![vec![1; 200]; 200] }),
        ),
    ] {
        let error = put(source, arguments).await.expect_err(source);
        assert!(
            !error.is_empty() && !error.contains(secret),
            "{source}: {error}"
        );
        assert!(error.len() < 400, "{source}: {error}");
    }
}

/// The dearest conditions that get past the checks: many times the largest list, and the largest values compared whole.
#[tokio::test]
async fn the_dearest_condition_that_is_let_through_ends() {
    let list: Vec<Value> = (0..256).map(|n| json!([n, "x".repeat(400)])).collect();
    let arguments = json!({ "l": list, "m": list });
    let body = ["args.l == args.m"; 12].join("&&");
    let source = vec![format!("args.l.all(x, {body})"); 4].join("&&");
    assert!(source.len() <= crate::limits::CONDITION_BYTES_MAX);
    assert_eq!(put(&source, arguments).await, Ok(true));
}

#[tokio::test]
async fn the_deepest_condition_that_is_let_through_is_evaluated() {
    let mut deepest = None;
    for depth in 1..100 {
        let source = format!("args{} == 1", ".a".repeat(depth));
        if Condition::compile(&source).is_ok() {
            deepest = Some((source, depth));
        }
    }
    let (source, depth) = deepest.expect("some are let through");
    let arguments = (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert_eq!(put(&source, arguments).await, Ok(true));
    let nested = (1..40).filter_map(|depth| {
        let source = format!("{}args.a{} == 1", "(".repeat(depth), ")".repeat(depth));
        Condition::compile(&source).is_ok().then_some(source)
    });
    let nested = nested
        .max_by_key(String::len)
        .expect("some are let through");
    assert_eq!(put(&nested, json!({ "a": 1 })).await, Ok(true));
}

#[test]
fn a_rule_must_be_named_and_demand_something() {
    let text = |name: &str, policy: Policy| RuleText {
        name: name.to_owned(),
        tools: Vec::new(),
        when: None,
        policy,
        why: None,
    };
    for name in ["", "a b", "a\u{202e}b", &"x".repeat(65)] {
        let refused = Rule::compile(Level::Server, text(name, Policy::Ask));
        assert!(matches!(refused, Err(RuleError::Name)), "{name:?}");
    }
    let refused = Rule::compile(Level::Server, text("r", Policy::Auto));
    assert!(matches!(refused, Err(RuleError::DemandsNothing)));
    let empty = RuleText {
        tools: vec![String::new()],
        ..text("r", Policy::Ask)
    };
    assert!(matches!(
        Rule::compile(Level::Server, empty),
        Err(RuleError::EmptyTool)
    ));
    assert!(Rule::compile(Level::Server, text("prod-asks.1", Policy::Deny)).is_ok());
}
