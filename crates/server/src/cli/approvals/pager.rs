//! Long texts on a terminal, a screen at a time and never cut. Into a pipe or a file they go whole.

use crate::cli::terminal::say;
use std::io::{self, BufRead, IsTerminal, Write};

/// Lines before a pause, and characters that count as one line, where the terminal's own size is not known.
const LINES: usize = 40;
const COLUMNS: usize = 80;

/// Prints all of `text`. Where a person reads, it waits for Enter after each screen.
pub fn show(text: &str) {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        say(text.trim_end());
        return;
    }
    let screens = screens(text.trim_end());
    let last = screens.len().saturating_sub(1);
    for (index, screen) in screens.iter().enumerate() {
        say(screen);
        if index == last {
            return;
        }
        let mut out = io::stdout().lock();
        let _ = write!(
            out,
            "-- screen {} of {}; Enter for more --",
            index + 1,
            last + 1
        );
        let _ = out.flush();
        let mut line = String::new();
        // At the end of the input the rest is shown without pauses: it is complete in any case.
        let _ = io::stdin().lock().read_line(&mut line);
    }
}

fn screens(text: &str) -> Vec<String> {
    let mut screens = Vec::new();
    let mut screen: Vec<String> = Vec::new();
    for line in text.lines().flat_map(rows) {
        if screen.len() == LINES {
            screens.push(std::mem::take(&mut screen).join("\n"));
        }
        screen.push(line);
    }
    screens.push(screen.join("\n"));
    screens
}

/// A line as rows of the terminal. Colours end within their line, so a cut never leaves one on.
fn rows(line: &str) -> Vec<String> {
    if line.contains('\u{1b}') {
        return vec![line.to_owned()];
    }
    let characters: Vec<char> = line.chars().collect();
    if characters.is_empty() {
        return vec![String::new()];
    }
    characters
        .chunks(COLUMNS)
        .map(|row| row.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_hold_everything_once() {
        let text = format!("head\n{}\n\ntail", "y".repeat(COLUMNS * LINES * 2));
        let screens = screens(&text);
        assert_eq!(screens.len(), 3);
        let all: String = screens.join("\n");
        assert_eq!(all.replace('\n', ""), text.replace('\n', ""));
        assert!(all.starts_with("head\n") && all.ends_with("\n\ntail"));
    }
}
