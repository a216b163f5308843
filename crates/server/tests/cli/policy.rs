//! `runyard policy` explains a call and checks rules without a server.

use crate::program::Home;

const AGENT: &str = "---\nname: Teller\ntools: [pay, look]\nrules:\n  - name: large\n    tools: [pay]\n    when: args.amount > 100\n    policy: ask\n    why: much money\n---\nPay.\n";

const TOOLS: &str = r#"
[tools.pay]
kind = "http"
url = "http://203.0.113.1/"
input_schema = {type = "object", required = ["amount"], properties = {amount = {type = "integer"}}}
method = "POST"
body = {amount = "{amount}"}

[tools.look]
kind = "http"
url = "http://203.0.113.1/"
effect = "idempotent"
"#;

fn home(rules: &str) -> Home {
    let home = Home::new();
    home.write("agents/teller.md", AGENT);
    home.write("runyard.toml", &format!("{TOOLS}{rules}"));
    home
}

#[test]
fn explain_names_the_rule_that_decides_and_those_that_do_not() {
    let home = home(
        "[[orgs.acme.rules]]\nname = \"robots\"\nwhen = 'caller.key == \"ci\"'\npolicy = \"deny\"\nwhy = \"people pay\"\n",
    );
    let said = home.run(&[
        "policy",
        "explain",
        "teller",
        "pay",
        "--args",
        r#"{"amount":5}"#,
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("pay runs\n"), "{}", said.out);
    assert!(
        said.out.contains("agent rule `large` does not match"),
        "{}",
        said.out
    );
    let said = home.run(&[
        "policy",
        "explain",
        "teller",
        "pay",
        "--args",
        r#"{"amount":500}"#,
    ]);
    let told = "pay asks\n  why: agent rule `large` asks for approval: much money\n";
    assert!(said.out.starts_with(told), "{}", said.out);
    assert!(
        said.out.contains("a grant: one that covers"),
        "{}",
        said.out
    );
    let said = home.run(&[
        "policy",
        "explain",
        "teller",
        "pay",
        "--args",
        r#"{"amount":500}"#,
        "--org",
        "acme",
        "--caller",
        "developer:ci",
    ]);
    let told = "pay is denied\n  why: org rule `robots` denies it: people pay\n";
    assert!(said.out.starts_with(told), "{}", said.out);
    assert!(
        said.out.contains("a denial is above grants"),
        "{}",
        said.out
    );
    let said = home.run(&[
        "policy",
        "explain",
        "teller",
        "look",
        "--met",
        "reads_private,changes_state",
    ]);
    assert!(
        said.out.starts_with("look asks\n  why: the rule of two"),
        "{}",
        said.out
    );
}

#[test]
fn check_names_file_line_and_rule_of_what_is_wrong() {
    let home = home("");
    let said = home.run(&["policy", "check"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "0 rules of the server, 0 of orgs, 1 of agents\n")
    );
    home.write(
        "runyard.toml",
        &format!("{TOOLS}\n[[policy.rules]]\nname = \"r\"\nwhen = 'caller.rol == \"owner\"'\npolicy = \"ask\"\n"),
    );
    let said = home.run(&["policy", "check"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err
            .contains("runyard.toml:14: rule `r` cannot be used"),
        "{}",
        said.err
    );
    assert!(
        said.err
            .contains("`caller` has no `rol`; it has: role, key"),
        "{}",
        said.err
    );
    home.write("runyard.toml", TOOLS);
    home.write(
        "agents/teller.md",
        &AGENT.replace("args.amount > 100", "args.amount >"),
    );
    let said = home.run(&["policy", "check"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out
            .contains("teller.md:5: rule `large` cannot be used"),
        "{}",
        said.out
    );
}
