//! Values between JSON and PostgreSQL's wire. Parameters go as text, which the server reads by their type; columns
//! come in binary.

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use serde_json::{Number, Value};
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

/// An argument as the server reads it from text; lists and objects are JSON.
#[derive(Debug)]
pub(super) struct Bound(Option<String>);

impl Bound {
    pub(super) fn of(value: &Value) -> Self {
        Self(match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    }
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// A column's value as JSON. Types without one of their own come as hexadecimal text; a statement can cast them.
pub(super) fn decode(row: &Row, index: usize) -> Value {
    row.try_get::<_, Option<Decoded>>(index)
        .ok()
        .flatten()
        .map_or(Value::Null, |decoded| decoded.0)
}

struct Decoded(Value);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        scalar(of, raw).map(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn scalar(of: &Type, raw: &[u8]) -> Result<Value, Box<dyn Error + Sync + Send>> {
    if let Kind::Array(_) = of.kind() {
        let items = Vec::<Option<Decoded>>::from_sql(of, raw);
        let Ok(items) = items else {
            // More than one dimension.
            return Ok(Value::String(HEXLOWER.encode(raw)));
        };
        let items = items.into_iter();
        return Ok(Value::Array(
            items
                .map(|item| item.map_or(Value::Null, |item| item.0))
                .collect(),
        ));
    }
    if let Kind::Domain(inner) = of.kind() {
        return scalar(inner, raw);
    }
    Ok(match *of {
        Type::BOOL => bool::from_sql(of, raw)?.into(),
        Type::INT2 => i16::from_sql(of, raw)?.into(),
        Type::INT4 => i32::from_sql(of, raw)?.into(),
        Type::INT8 => i64::from_sql(of, raw)?.into(),
        Type::OID => u32::from_sql(of, raw)?.into(),
        Type::FLOAT4 => real(f64::from(f32::from_sql(of, raw)?)),
        Type::FLOAT8 => real(f64::from_sql(of, raw)?),
        Type::NUMERIC => numeric(raw).unwrap_or(Value::Null),
        Type::JSON | Type::JSONB => Value::from_sql(of, raw)?,
        Type::UUID => uuid::Uuid::from_sql(of, raw)?.to_string().into(),
        Type::TIMESTAMPTZ => DateTime::<Utc>::from_sql(of, raw)?
            .to_rfc3339_opts(SecondsFormat::AutoSi, true)
            .into(),
        Type::TIMESTAMP => NaiveDateTime::from_sql(of, raw)?
            .format("%Y-%m-%dT%H:%M:%S%.f")
            .to_string()
            .into(),
        Type::DATE => NaiveDate::from_sql(of, raw)?.to_string().into(),
        Type::TIME => NaiveTime::from_sql(of, raw)?.to_string().into(),
        // Names, enums and extension types such as citext are text on the wire as well.
        _ => match std::str::from_utf8(raw) {
            Ok(text) if is_text(of) => text.into(),
            _ => HEXLOWER.encode(raw).into(),
        },
    })
}

fn is_text(of: &Type) -> bool {
    <String as FromSql>::accepts(of) || matches!(of.kind(), Kind::Enum(_)) || of.name() == "xml"
}

fn real(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// PostgreSQL's binary numeric: base 10,000 digits, the first with the weight `weight`. As a number where JSON's keeps
/// it exactly, else as text.
fn numeric(raw: &[u8]) -> Option<Value> {
    let word = |at: usize| Some(i16::from_be_bytes([*raw.get(at)?, *raw.get(at + 1)?]));
    let (count, weight) = (word(0)?, i32::from(word(2)?));
    let (sign, scale) = (word(4)?.cast_unsigned(), usize::try_from(word(6)?).ok()?);
    if !matches!(sign, 0 | 0x4000) {
        return Some(Value::String(match sign {
            0xd000 => "Infinity".to_owned(),
            0xf000 => "-Infinity".to_owned(),
            _ => "NaN".to_owned(),
        }));
    }
    let digit = |place: i32| {
        usize::try_from(place)
            .ok()
            .filter(|place| *place < usize::try_from(count).unwrap_or(0))
            .and_then(|place| word(8 + 2 * place))
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for place in 0..=weight {
        if place == 0 {
            text.push_str(&digit(place).to_string());
        } else {
            text.push_str(&format!("{:04}", digit(place)));
        }
    }
    if scale > 0 {
        let mut fraction = String::new();
        // The first digit behind the point is number `weight + 1`; below 0.0001 the leading ones are not sent.
        let mut place = weight + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", digit(place)));
            place += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    let is_exact = crate::arguments::is_exact(&text);
    match serde_json::from_str::<Number>(&text) {
        Ok(number) if is_exact => Some(Value::Number(number)),
        _ => Some(Value::String(text)),
    }
}
