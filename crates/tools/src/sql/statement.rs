//! Reads a statement of the configuration: where its parameters stand, and that it is one statement that reads or
//! changes rows. It does not understand SQL beyond quotes and comments.

use std::collections::BTreeMap;

/// A statement of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    #[error("it must begin with one of: {}", BEGINNINGS.join(", "))]
    Beginning,
    #[error("a quote or comment in it does not end")]
    Unended,
    #[error("it is more than one statement; give several as a list")]
    Several,
    #[error("parameters are written `:name`, not `{found}`")]
    Parameter { found: String },
    #[error("it writes; say so with `writes = true`")]
    Writes,
    #[error("SQLite does not take it")]
    Sqlite(#[source] rusqlite::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement as its database takes it, and its parameters in the order of their numbers (from 1).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub text: String,
    pub parameters: Vec<String>,
}

/// Nothing else is let in, so that no statement can end its transaction, leave read-only mode or reach another file.
const BEGINNINGS: [&str; 8] = [
    "select", "with", "values", "insert", "update", "delete", "replace", "merge",
];

impl Statement {
    pub(super) fn parse(source: &str, dialect: Dialect) -> Result<Self, StatementError> {
        let mut scan = Scan {
            source,
            at: 0,
            dialect,
            text: String::with_capacity(source.len()),
            numbers: BTreeMap::new(),
            parameters: Vec::new(),
            first_word: None,
            ended: false,
        };
        while scan.at < source.len() {
            scan.step()?;
        }
        let begins = scan.first_word.unwrap_or_default().to_ascii_lowercase();
        if !BEGINNINGS.contains(&begins.as_str()) {
            return Err(StatementError::Beginning);
        }
        Ok(Self {
            text: scan.text,
            parameters: scan.parameters,
        })
    }
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    dialect: Dialect,
    text: String,
    numbers: BTreeMap<&'a str, usize>,
    parameters: Vec<String>,
    first_word: Option<&'a str>,
    /// A semicolon was seen; only white space and comments may follow.
    ended: bool,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    /// Copies the next `bytes` of the source.
    fn keep(&mut self, bytes: usize) {
        self.text.push_str(&self.rest()[..bytes]);
        self.at += bytes;
    }

    fn step(&mut self) -> Result<(), StatementError> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return Ok(());
        };
        if rest.starts_with("--") {
            let end = rest.find('\n').unwrap_or(rest.len());
            self.keep(end);
            return Ok(());
        }
        if rest.starts_with("/*") {
            let end = self.comment_end().ok_or(StatementError::Unended)?;
            self.keep(end);
            return Ok(());
        }
        if c.is_whitespace() {
            self.keep(c.len_utf8());
            return Ok(());
        }
        if self.ended {
            return Err(StatementError::Several);
        }
        match c {
            ';' => {
                // Left out: a prepared statement is one statement.
                self.ended = true;
                self.at += 1;
            }
            '\'' => self.quoted('\'', self.has_escapes())?,
            '"' => self.quoted('"', false)?,
            '`' if self.dialect == Dialect::Sqlite => self.quoted('`', false)?,
            '[' if self.dialect == Dialect::Sqlite => {
                let end = rest.find(']').ok_or(StatementError::Unended)?;
                self.keep(end + 1);
            }
            '$' if self.dialect == Dialect::Postgres => self.dollar()?,
            ':' => self.colon()?,
            '?' | '@' | '$' if self.dialect == Dialect::Sqlite => {
                return Err(self.positional());
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                self.first_word.get_or_insert(&rest[..end]);
                self.keep(end);
            }
            other => self.keep(other.len_utf8()),
        }
        Ok(())
    }

    /// PostgreSQL's comments nest.
    fn comment_end(&self) -> Option<usize> {
        let rest = self.rest();
        if self.dialect == Dialect::Sqlite {
            return rest[2..].find("*/").map(|end| end + 4);
        }
        let (mut depth, mut at) = (0, 0);
        while at < rest.len() {
            if rest[at..].starts_with("/*") {
                depth += 1;
                at += 2;
            } else if rest[at..].starts_with("*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            } else {
                at += rest[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        None
    }

    /// Whether the string that begins here is PostgreSQL's `E'…'`.
    fn has_escapes(&self) -> bool {
        let before = &self.source[..self.at];
        let word = before.len() - before.trim_end_matches(is_word).len();
        self.dialect == Dialect::Postgres && before[before.len() - word..].eq_ignore_ascii_case("e")
    }

    fn quoted(&mut self, quote: char, escapes: bool) -> Result<(), StatementError> {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && escapes {
                chars.next();
            } else if c == quote {
                if chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                } else {
                    self.keep(at + 1);
                    return Ok(());
                }
            }
        }
        Err(StatementError::Unended)
    }

    /// `$1`, or a dollar-quoted string.
    fn dollar(&mut self) -> Result<(), StatementError> {
        let rest = self.rest();
        let tag_end = rest[1..].find(|c| !is_word(c)).map(|end| end + 1);
        let Some(tag_end) = tag_end.filter(|end| rest[*end..].starts_with('$')) else {
            return Err(self.positional());
        };
        let tag = &rest[..=tag_end];
        let body = &rest[tag.len()..];
        let end = body.find(tag).ok_or(StatementError::Unended)?;
        self.keep(tag.len() + end + tag.len());
        Ok(())
    }

    /// `:name`, or PostgreSQL's `::` and `:=`.
    fn colon(&mut self) -> Result<(), StatementError> {
        let rest = self.rest();
        if rest.starts_with("::") {
            self.keep(2);
            return Ok(());
        }
        let name_end = rest[1..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(rest.len(), |end| end + 1);
        let name = &rest[1..name_end];
        if name.is_empty() {
            self.keep(1);
            return Ok(());
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return match self.dialect {
                // The end of a slice: `items[1:2]`.
                Dialect::Postgres => {
                    self.keep(1);
                    Ok(())
                }
                Dialect::Sqlite => Err(self.positional()),
            };
        }
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.parameters.push(name.to_owned());
        }
        match self.dialect {
            Dialect::Sqlite => self.text.push_str(&rest[..name_end]),
            Dialect::Postgres => self.text.push_str(&format!("${number}")),
        }
        self.at += name_end;
        Ok(())
    }

    fn positional(&self) -> StatementError {
        let found = self
            .rest()
            .split(|c: char| c.is_whitespace() || c == ',' || c == ')');
        StatementError::Parameter {
            found: found.into_iter().next().unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
