//! The terminal: what is printed, in colour where that is wanted, and never a control character that came from
//! elsewhere. It does not know what the words mean.

use super::Failure;
use super::hidden::is_hidden;
use std::io::{self, IsTerminal, Write};

/// Prints one line. A reader who went away is no failure of ours.
pub fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints one line beside the output proper.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

pub fn complain(failure: &Failure) {
    let mut err = io::stderr().lock();
    let style = Style::of(io::stderr().is_terminal());
    let _ = writeln!(err, "{} {failure}.", style.red("error:"));
    let _ = writeln!(err, "{} {}.", style.bold("what to do:"), failure.mend());
}

/// How the person who reads this started the program, for commands to repeat.
pub fn program() -> &'static str {
    let is_built_here = std::env::current_exe().is_ok_and(|path| {
        let folder = path.parent();
        folder.is_some_and(|folder| {
            folder.ends_with("target/debug") || folder.ends_with("target/release")
        })
    });
    if is_built_here {
        "cargo run -q --"
    } else {
        "runyard"
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub fn of(is_terminal: bool) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: is_terminal && !forbidden,
        }
    }

    pub fn plain() -> Self {
        Self { colour: false }
    }

    #[cfg(test)]
    pub fn colour() -> Self {
        Self { colour: true }
    }

    pub fn is_plain(self) -> bool {
        !self.colour
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    pub fn italic(self, text: &str) -> String {
        self.paint("3", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// `text` with control, direction and zero-width characters made visible, so that a model cannot move the cursor,
/// change the window's title or show other words than there are. Line ends and tabs stay.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if is_hidden(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// The beginning of `text` on one line.
pub fn brief(text: &str, characters_max: usize) -> String {
    let line = visible(text).replace(['\n', '\t'], " ");
    if line.chars().count() <= characters_max {
        return line;
    }
    let mut cut: String = line.chars().take(characters_max).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(visible("a\u{1b}[2Jb\n\tc\r"), "a\\u{1b}[2Jb\n\tc\\u{d}");
        assert_eq!(visible("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(brief("one\ntwo three", 7), "one two…");
    }
}
