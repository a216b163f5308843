//! Collects a statement's rows into a result, up to the limits.

use super::{Answer, Plan};
use crate::config::Returns;
use serde_json::{Map, Value, json};

pub(super) struct Rows {
    rows: Vec<Value>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    is_cut: bool,
}

impl Rows {
    pub(super) fn new(plan: &Plan, bytes_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            bytes: 0,
            rows_max: match plan.returns {
                Returns::Rows => plan.rows_max,
                Returns::Row => 1,
            },
            // Room for what is put around the rows.
            bytes_max: bytes_max.saturating_sub(200),
            is_cut: false,
        }
    }

    /// Takes a row; false if it does not fit and no further one will be taken.
    pub(super) fn push(&mut self, row: Map<String, Value>) -> bool {
        let row = Value::Object(row);
        let bytes = row.to_string().len() + 1;
        if self.is_cut || self.rows.len() >= self.rows_max {
            self.is_cut = true;
            return false;
        }
        // The first row is kept whatever its size; the gateway cuts it as text.
        if !self.rows.is_empty() && self.bytes + bytes > self.bytes_max {
            self.is_cut = true;
            return false;
        }
        self.bytes += bytes;
        self.rows.push(row);
        true
    }

    /// The result of the last statement; `changed` counts rows that all statements changed.
    pub(super) fn answer(self, plan: &Plan, has_columns: bool, changed: Option<u64>) -> Answer {
        if plan.returns == Returns::Row && has_columns {
            return match self.rows.into_iter().next() {
                Some(value) => Answer {
                    value,
                    is_error: false,
                },
                None => Answer {
                    value: json!({ "message": "nothing found" }),
                    is_error: true,
                },
            };
        }
        let mut value = Map::new();
        if has_columns {
            value.insert("row_count".to_owned(), json!(self.rows.len()));
            if self.is_cut {
                let note = format!(
                    "there are more rows; these are the first {}",
                    self.rows.len()
                );
                value.insert("truncated".to_owned(), json!(note));
            }
            value.insert("rows".to_owned(), Value::Array(self.rows));
        }
        if let Some(changed) = changed {
            value.insert("changed".to_owned(), json!(changed));
        }
        Answer {
            value: Value::Object(value),
            is_error: false,
        }
    }
}
