//! One value of a row, the same whichever database it comes from.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a column holds, NULL apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 64 bits.
    Int,
    /// 32 bits in PostgreSQL.
    Int4,
    Bool,
    Uuid,
    Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Bool(bool),
    Uuid(Uuid),
    Bytes(Vec<u8>),
}

pub(super) type Row = Vec<Cell>;

impl Cell {
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => json!(text),
            Self::Int(number) => json!(number),
            Self::Bool(is) => json!(is),
            Self::Uuid(id) => json!(id.to_string()),
            Self::Bytes(bytes) => json!(HEXLOWER.encode(bytes)),
        }
    }

    /// `None` if the value is not of this kind.
    pub fn from_json(value: &Value, kind: Kind) -> Option<Self> {
        if value.is_null() {
            return Some(Self::Null);
        }
        Some(match kind {
            Kind::Text => Self::Text(value.as_str()?.to_owned()),
            Kind::Int => Self::Int(value.as_i64()?),
            Kind::Int4 => Self::Int(i32::try_from(value.as_i64()?).ok()?.into()),
            Kind::Bool => Self::Bool(value.as_bool()?),
            Kind::Uuid => Self::Uuid(Uuid::parse_str(value.as_str()?).ok()?),
            Kind::Bytes => Self::Bytes(HEXLOWER.decode(value.as_str()?.as_bytes()).ok()?),
        })
    }

    /// About how much memory it takes.
    pub fn weight(&self) -> usize {
        let long = match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null | Self::Int(_) | Self::Bool(_) | Self::Uuid(_) => 0,
        };
        size_of::<Self>() + long
    }

    fn feed(&self, hash: &mut Sha256) {
        let (tag, bytes): (u8, &[u8]) = match self {
            Self::Null => (0, &[]),
            Self::Text(text) => (1, text.as_bytes()),
            Self::Int(number) => (2, &number.to_be_bytes()),
            Self::Bool(is) => (3, &[u8::from(*is)]),
            Self::Uuid(id) => (4, id.as_bytes()),
            Self::Bytes(bytes) => (5, bytes),
        };
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
}

/// How many rows there are, and what is in them: the sum of the rows' SHA-256. The order of rows changes nothing, so each
/// database may read them in its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub rows: u64,
    lanes: [u64; 4],
}

impl Sum {
    pub fn add(&mut self, row: &[Cell]) {
        let mut hash = Sha256::new();
        for cell in row {
            cell.feed(&mut hash);
        }
        let digest = hash.finalize();
        for (lane, bytes) in self.lanes.iter_mut().zip(digest.chunks_exact(8)) {
            let bytes = bytes.try_into().expect("chunks of eight");
            *lane = lane.wrapping_add(u64::from_be_bytes(bytes));
        }
        self.rows += 1;
    }
}
