//! What xtask says, all on standard error so that standard output stays the children's.

use std::fmt::Arguments;
use std::io::Write;
use std::time::Duration;

/// Writes one line. A closed standard error is no reason to stop a test run.
pub fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Elapsed time in the shortest form that still tells runs apart: `0.4 s`, `3 min 07 s`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}
