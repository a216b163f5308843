//! The promises tried by the program itself.

use crate::program::Home;
use std::fs;

fn leaves_nothing(home: &Home) {
    let left: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn durability_is_proven_on_a_scratch_store() {
    let home = Home::new();
    let own = env!("CARGO_BIN_EXE_runyard");
    let said = home.run(&[
        "prove",
        "durability",
        "--minutes",
        "0.1",
        "--seed",
        "7",
        "--upgrade-from",
        own,
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = |begin: &str| {
        let line = said.out.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("no {begin}: {said:?}"))
            .to_owned()
    };
    // The laps of a wave, with those who come before others on their threads.
    assert!(
        line("runs ").starts_with("runs        120 under"),
        "{said:?}"
    );
    assert!(line("runs ").contains("0 violations (with 95%"), "{said:?}");
    assert!(
        line("recovery ").contains("100 runs went on after a kill, 0 of them later"),
        "{said:?}"
    );
    assert!(line("streams ").contains(" 0 of their readers"), "{said:?}");
    assert!(said.out.ends_with("nothing was broken\n"), "{said:?}");
    leaves_nothing(&home);
}

#[test]
fn isolation_is_proven_on_a_scratch_store() {
    let home = Home::new();
    let said = home.run(&["prove", "isolation", "--minutes", "0.02"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("isolation "), "{said:?}");
    assert!(!said.out.contains("not tried"), "{said:?}");
    assert!(said.out.ends_with("nothing was broken\n"), "{said:?}");
    leaves_nothing(&home);
}

#[test]
fn trial_that_cannot_be_made_is_refused() {
    let home = Home::new();
    for (arguments, word) in [
        (
            vec!["prove", "durability", "--minutes", "0"],
            "number of minutes",
        ),
        (
            vec!["prove", "isolation", "--minutes", "soon"],
            "number of minutes",
        ),
        (
            vec!["prove", "isolation", "--dir", "nowhere"],
            "is no folder",
        ),
        (
            vec!["prove", "isolation", "--database-url", "x.db"],
            "no address of PostgreSQL",
        ),
        (
            vec!["prove", "isolation", "--nats", "nats://127.0.0.1:9"],
            "--database-url",
        ),
        (
            vec![
                "prove",
                "isolation",
                "--database-url",
                "postgres://a:secret-word@127.0.0.1:9/x",
            ],
            "could not go on",
        ),
    ] {
        let said = home.run(&arguments);
        assert_ne!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
        assert!(!said.err.contains("secret-word"), "{said:?}");
    }
    leaves_nothing(&home);
}
