//! How busy the machine was while it measured: figures without this cannot be compared.

use std::fs;
use std::thread;

/// Tasks that ran or waited for a processor or the disk, on average over the last minute; `None` where the system does
/// not tell (no `/proc`).
pub fn load() -> Option<f64> {
    parse_load(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse_load(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
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
}
