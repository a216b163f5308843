//! Counts the closing lines of Rust test binaries while passing their output on unchanged.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Sums over the test binaries of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub binaries: u64,
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
}

impl Tally {
    /// Copies `from` to `to` line by line until it ends, adding each closing line.
    pub fn copy(&mut self, from: impl Read, mut to: impl Write) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            self.add(&String::from_utf8_lossy(&line));
            to.write_all(&line)?;
            to.flush()?;
            line.clear();
        }
        Ok(())
    }

    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        self.binaries += 1;
        for part in counts.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            binaries,
            passed,
            failed,
            ignored,
        } = self;
        write!(
            f,
            "{passed} passed, {failed} failed, {ignored} ignored in {binaries} test binaries"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn closing_lines_are_summed_and_every_byte_passes() {
        let output = b"running 2 tests\n\xff\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s\n\
            test result: FAILED. 4 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";
        let mut copied = Vec::new();
        let mut tally = Tally::default();
        tally.copy(&output[..], &mut copied).unwrap();
        assert_eq!(copied, output);
        assert_eq!(
            tally,
            Tally {
                binaries: 2,
                passed: 6,
                failed: 5,
                ignored: 1
            }
        );
    }
}
