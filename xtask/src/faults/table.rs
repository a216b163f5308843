//! The table of seeded faults as the documentation has it: what the command runs is what the reader is told.

use anyhow::{Context, ensure};
use std::fmt;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub name: String,
    pub mistake: String,
    /// Every one of these fails where the fault is on.
    pub tests: Vec<Test>,
}

/// A test binary: a package's unit tests (`lib`), or one of its files of integration tests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub package: String,
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    pub place: Place,
    /// Its whole path in the binary.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.target)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.name)
    }
}

/// Rows are `| name | mistake | what would go wrong | tests |`, name and tests as code; a test is
/// `package target path::of::test`.
pub fn parse(text: &str) -> anyhow::Result<Vec<Fault>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let faults = rows
        .map(|row| fault(row).with_context(|| format!("no row of seeded faults: {row}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!faults.is_empty(), "there is no seeded fault");
    Ok(faults)
}

fn fault(row: &str) -> anyhow::Result<Fault> {
    let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [name, mistake, _, tests] = columns.as_slice() else {
        anyhow::bail!("it has {} columns, not 4", columns.len());
    };
    let tests = tests.split('`').skip(1).step_by(2).map(test);
    let tests = tests.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!tests.is_empty(), "it names no test");
    Ok(Fault {
        name: name.trim_matches('`').to_owned(),
        mistake: (*mistake).to_owned(),
        tests,
    })
}

fn test(text: &str) -> anyhow::Result<Test> {
    let words: Vec<&str> = text.split(' ').collect();
    let [package, target, name] = words.as_slice() else {
        anyhow::bail!("{text:?} is not `package target test`");
    };
    Ok(Test {
        place: Place {
            package: (*package).to_owned(),
            target: (*target).to_owned(),
        },
        name: (*name).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn rows_are_read_and_other_lines_are_not() {
        let text = "# Faults\n\n| Fault | Mistake | Harm | Caught by |\n|---|---|---|---|\n\
            | `done-twice` | Told twice. | Clients stop. | `engine it runs::a`, `domain lib b` |\n";
        let faults = parse(text).unwrap();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].name, "done-twice");
        assert_eq!(faults[0].mistake, "Told twice.");
        let tests: Vec<String> = faults[0].tests.iter().map(ToString::to_string).collect();
        assert_eq!(tests, ["engine it runs::a", "domain lib b"]);
    }

    #[test]
    fn odd_rows_are_refused() {
        for row in [
            "| `a` | b | c |",
            "| `a` | b | c | nothing |",
            "| `a` | b | c | `engine it` |",
            "no row at all",
        ] {
            assert!(parse(row).is_err(), "{row}");
        }
    }
}
