//! What test binaries said of tests: which passed and which failed. A test that ended its whole binary has no line, and
//! so no verdict.

use super::table::Test;

#[derive(Debug, Default)]
pub struct Verdict {
    passed: Vec<Test>,
    failed: Vec<Test>,
}

impl Verdict {
    /// False if the binary's output does not tell of the test.
    pub fn add(&mut self, test: Test, said: &str) -> bool {
        let begin = format!("test {} ", test.name);
        let lines = said.lines().filter(|line| line.starts_with(&begin));
        let ends = |end: &str| lines.clone().any(|line| line.ends_with(end));
        if ends(" FAILED") {
            self.failed.push(test);
        } else if ends(" ok") {
            self.passed.push(test);
        } else {
            return false;
        }
        true
    }

    pub fn passed(&self) -> &[Test] {
        &self.passed
    }

    pub fn failed(&self) -> &[Test] {
        &self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Place, Test};
    use super::Verdict;

    #[test]
    fn each_test_has_the_verdict_of_its_own_line() {
        let place = Place {
            package: "engine".to_owned(),
            target: "it".to_owned(),
        };
        let said = "\nrunning 2 tests\ntest runs::a ... ok\ntest runs::ab ... FAILED\n\ntest result: FAILED.";
        let mut verdict = Verdict::default();
        let mut add = |name: &str| {
            let (place, name) = (place.clone(), name.to_owned());
            verdict.add(Test { place, name }, said)
        };
        assert!(add("runs::a") && add("runs::ab"));
        assert!(!add("runs::abc"));
        assert_eq!(verdict.passed()[0].name, "runs::a");
        assert_eq!(verdict.failed()[0].name, "runs::ab");
        assert_eq!((verdict.passed().len(), verdict.failed().len()), (1, 1));
    }
}
