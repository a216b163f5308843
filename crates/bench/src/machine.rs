//! How busy the machine was while it measured: figures without this cannot be compared.

use std::fs;
use std::thread;

use crate::process::TICKS_PER_S;

/// Tasks that ran or waited for a processor or the disk, on average over the last minute; `None` where the system does
/// not tell (no `/proc`).
pub fn load() -> Option<f64> {
    parse_load(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse_load(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Processor time that all processors together have spent on work so far, in seconds; `None` where the system does not
/// tell.
pub fn worked_s() -> Option<f64> {
    parse_worked_s(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line holds ticks spent as user, nice, system, idle, waiting for the disk, in interrupts of two kinds, and
/// given to other machines; guests' are in the first two (proc(5)).
fn parse_worked_s(text: &str) -> Option<f64> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_ascii_whitespace().take(8);
    let ticks = ticks.map(|field| field.parse().ok());
    let ticks: Vec<f64> = ticks.collect::<Option<_>>()?;
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((ticks.iter().sum::<f64>() - idle) / TICKS_PER_S)
}

/// A sentence for who reads the figures.
pub fn busy(before: Option<f64>, after: Option<f64>) -> String {
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let told = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.1}"));
    format!(
        "Processors: {processors}. Load of the machine in the minute before: {}, in the last minute of measuring, the \
         measuring itself included: {}.",
        told(before),
        told(after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_the_first_figure() {
        assert_eq!(parse_load("0.52 1.58 0.80 3/321 9281\n"), Some(0.52));
        assert_eq!(parse_load(""), None);
    }

    #[test]
    fn work_is_all_but_idle_time_and_waiting_for_the_disk() {
        let stat = "cpu  100 20 30 9000 700 5 15 30 99 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_worked_s(stat), Some(2.0));
        assert_eq!(parse_worked_s("cpu  1 2 3\n"), None);
        assert_eq!(parse_worked_s(""), None);
    }
}
