//! Markdown for a terminal, as it is written: a line is styled once it is whole, so that nothing printed must be taken
//! back. It knows headings, lists, quotes, tables' bars, code, and strong and emphatic words; the rest stays as it is.

use super::terminal::{Style, visible};

/// Turns a growing text into lines with styles.
#[derive(Debug)]
pub struct Markdown {
    style: Style,
    /// The line that is not whole yet.
    line: String,
    in_code: bool,
    /// Bytes of `line` that were shown already, plain: of a long line one sees that it grows.
    shown: usize,
}

/// Characters after which a line that is still being written is shown, up to its last space.
const PATIENCE_CHARS: usize = 72;

impl Markdown {
    pub fn new(style: Style) -> Self {
        Self {
            style,
            line: String::new(),
            in_code: false,
            shown: 0,
        }
    }

    /// Takes more of the text and gives what can be shown of it.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::new();
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if piece.ends_with('\n') {
                out.push_str(&self.whole_line());
            }
        }
        out.push_str(&self.growing_line());
        out
    }

    /// What is left when the text ends, with a line end if it had none.
    pub fn end(&mut self) -> String {
        let mut out = String::new();
        if !self.line.is_empty() {
            self.line.push('\n');
            out = self.whole_line();
        }
        self.in_code = false;
        out
    }

    fn whole_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let shown = std::mem::take(&mut self.shown);
        let rest = visible(&line[shown..]);
        let rest = rest.trim_end_matches('\n');
        if shown > 0 {
            return format!("{}\n", inline(rest, self.style));
        }
        if line.trim_start().starts_with("```") {
            self.in_code = !self.in_code;
            return format!("{}\n", self.style.dim(rest));
        }
        if self.in_code {
            return format!("{}\n", self.style.cyan(rest));
        }
        format!("{}\n", block(rest, self.style))
    }

    /// A paragraph's line may be long: what is certain of it is shown up to a space at which no mark is open.
    fn growing_line(&mut self) -> String {
        let is_plain = !self.in_code && !begins_block(&self.line);
        let rest = &self.line[self.shown..];
        if !is_plain || rest.chars().count() < PATIENCE_CHARS {
            return String::new();
        }
        let Some(space) = rest.rfind(' ') else {
            return String::new();
        };
        let part = &rest[..=space];
        let is_open = |mark: &str| part.matches(mark).count() % 2 == 1;
        if ["**", "`", "*", "_"].into_iter().any(is_open) {
            return String::new();
        }
        let out = inline(&visible(part), self.style);
        self.shown += space + 1;
        out
    }
}

/// True if the line's first characters give it a form of its own, which must be seen whole.
fn begins_block(line: &str) -> bool {
    let start = line.trim_start();
    start.is_empty() || start.starts_with(['#', '>', '|', '`', '-', '*', '+'])
}

fn block(line: &str, style: Style) -> String {
    let start = line.trim_start();
    let indent = &line[..line.len() - start.len()];
    let hashes = start.bytes().take_while(|&byte| byte == b'#').count();
    if (1..=6).contains(&hashes) && start[hashes..].starts_with(' ') {
        return style.bold(start[hashes..].trim());
    }
    if let Some(quoted) = start.strip_prefix("> ") {
        return format!("{indent}{} {}", style.dim("│"), inline(quoted, style));
    }
    let is_rule = start.len() > 4 && start.chars().all(|it| matches!(it, '|' | '-' | ':' | ' '));
    if start.starts_with('|') && is_rule {
        return format!("{indent}{}", style.dim(start));
    }
    if let Some(item) = ["- ", "* ", "+ "]
        .iter()
        .find_map(|mark| start.strip_prefix(mark))
    {
        return format!("{indent}• {}", inline(item, style));
    }
    format!("{indent}{}", inline(start, style))
}

/// Strong, emphatic and code words within a line. A mark without its partner stays.
fn inline(text: &str, style: Style) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['*', '`', '_']) {
        let before = &rest[..at];
        out.push_str(before);
        let tail = &rest[at..];
        let mark = if tail.starts_with("**") {
            "**"
        } else {
            &tail[..1]
        };
        // An underscore within a word is a part of its name.
        let is_within_word = mark == "_" && before.ends_with(char::is_alphanumeric);
        let inner = tail[mark.len()..]
            .find(mark)
            .map(|end| &tail[mark.len()..mark.len() + end])
            .filter(|inner| {
                !is_within_word
                    && !inner.is_empty()
                    && (mark == "`" || !(inner.starts_with(' ') || inner.ends_with(' ')))
            });
        let Some(inner) = inner else {
            out.push_str(mark);
            rest = &tail[mark.len()..];
            continue;
        };
        out.push_str(&match mark {
            "**" => style.bold(inner),
            "`" => style.cyan(inner),
            _ => style.italic(inner),
        });
        rest = &tail[mark.len() * 2 + inner.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each style as a letter and brackets.
    fn rendered(text: &str, size: usize) -> String {
        let mut markdown = Markdown::new(Style::colour());
        let characters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        for piece in characters.chunks(size) {
            out.push_str(&markdown.push(&piece.iter().collect::<String>()));
        }
        out.push_str(&markdown.end());
        for (code, name) in [(1, "B"), (2, "D"), (3, "I"), (36, "C")] {
            out = out.replace(&format!("\u{1b}[{code}m"), &format!("{name}("));
        }
        out.replace("\u{1b}[0m", ")")
    }

    #[test]
    fn lines_are_styled_whatever_the_pieces() {
        let text = "# Two are *behind*\n\n- **dev-07** runs `qwen_2`\n  1. wait\n> so_called\n```sh\nx **y**\n```\n| a | b |\n|---|--:|\nlast _word_ 2 * 3";
        let wanted = "B(Two are *behind*)\n\n• B(dev-07) runs C(qwen_2)\n  1. wait\nD(│) so_called\nD(```sh)\nC(x **y**)\nD(```)\n\
                      | a | b |\nD(|---|--:|)\nlast I(word) 2 * 3\n";
        for size in [1, 3, 1000] {
            assert_eq!(rendered(text, size), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn long_paragraph_is_shown_while_it_grows() {
        let mut markdown = Markdown::new(Style::plain());
        let text = "word ".repeat(30);
        let shown = markdown.push(&text);
        assert_eq!(shown, text);
        assert_eq!(markdown.push("and the end.\n"), "and the end.\n");
        let open = format!("{}**strong ", "word ".repeat(30));
        assert_eq!(Markdown::new(Style::plain()).push(&open), "");
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(rendered("a\u{1b}[2Jb", 1), "a\\u{1b}[2Jb\n");
    }
}
