//! What was measured, as tables for people (Markdown, as they stand in the documentation) and as JSON for programs.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    Text(String),
    /// A number and how many decimals are shown of it.
    Number(f64, usize),
    /// Not measured here.
    None,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn count(count: u64) -> Self {
        Self::Number(count as f64, 0)
    }

    pub fn maybe(number: Option<f64>, decimals: usize) -> Self {
        number.map_or(Self::None, |number| Self::Number(number, decimals))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Number(number, decimals) => out.write_str(&grouped(*number, *decimals)),
            Self::None => out.write_str("–"),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number, _) => serializer.serialize_f64(*number),
            Self::None => serializer.serialize_none(),
        }
    }
}

/// The number with a comma between each three digits before the point.
fn grouped(number: f64, decimals: usize) -> String {
    let plain = format!("{number:.decimals$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// A goal and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub what: String,
    pub measured: f64,
    pub goal: f64,
    pub unit: &'static str,
    /// The goal is a floor, not a ceiling.
    pub at_least: bool,
    pub met: bool,
}

impl Check {
    /// The cells of a row in the table of goals.
    pub fn cells(&self, scenario: &str) -> Vec<Cell> {
        let side = if self.at_least { "≥" } else { "≤" };
        let outcome = if self.met { "reached" } else { "missed" };
        vec![
            Cell::text(self.what.clone()),
            Cell::text(scenario),
            Cell::text(format!("{}{}", grouped(self.measured, 2), self.unit)),
            Cell::text(format!("{side} {}{}", self.goal, self.unit)),
            Cell::text(outcome),
        ]
    }

    pub fn at_least(what: impl Into<String>, measured: f64, goal: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            measured,
            goal,
            unit,
            at_least: true,
            met: measured >= goal,
        }
    }

    pub fn at_most(what: impl Into<String>, measured: f64, goal: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            measured,
            goal,
            unit,
            at_least: false,
            met: measured <= goal,
        }
    }
}

/// The outcome of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub name: &'static str,
    pub title: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    /// What a reader must know of the figures; failures among it.
    pub notes: Vec<String>,
    pub checks: Vec<Check>,
}

impl Report {
    pub fn new(name: &'static str, title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            name,
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// The table and what belongs to it, in Markdown.
    pub fn markdown(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::to_string).collect())
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max();
            let head = self.columns[column].chars().count();
            widest.unwrap_or(0).max(head)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = format!("### {}\n\n{}.\n\n", self.name, capitalised(&self.title));
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (place, cell) in cells.enumerate() {
                let width = widths.get(place).copied().unwrap_or(0);
                // Writing to a string does not fail.
                let _ = match place {
                    0 => write!(text, "| {cell:<width$} "),
                    _ => write!(text, "| {cell:>width$} "),
                };
            }
            text.push_str("|\n");
        };
        line(&mut self.columns.iter().copied());
        let rules: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(place, width)| match place {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            })
            .collect();
        line(&mut rules.iter().map(String::as_str));
        for row in &rows {
            line(&mut row.iter().map(String::as_str));
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(grouped(-12.3, 0), "-12");
        assert_eq!(grouped(999.0, 2), "999.00");
    }

    #[test]
    fn report_reads_as_markdown() {
        let mut report = Report::new("turns", "a title", &["server", "turns/s"]);
        report
            .rows
            .push(vec![Cell::text("relay"), Cell::count(12_000)]);
        report.rows.push(vec![Cell::text("runyard"), Cell::None]);
        let expected = "\
### turns

A title.

| server  | turns/s |
| ------- | ------: |
| relay   |  12,000 |
| runyard |       – |
";
        assert_eq!(report.markdown(), expected);
    }

    #[test]
    fn goal_says_which_side_it_wanted() {
        let cells = |check: Check| {
            let cells = check.cells("turns");
            cells.iter().map(Cell::to_string).collect::<Vec<_>>()
        };
        let reached = Check::at_least("ratio", 0.612, 0.5, "");
        let missed = Check::at_most("wait", 12.0, 5.0, " ms");
        assert_eq!(
            cells(reached),
            ["ratio", "turns", "0.61", "≥ 0.5", "reached"]
        );
        assert_eq!(
            cells(missed),
            ["wait", "turns", "12.00 ms", "≤ 5 ms", "missed"]
        );
    }
}
