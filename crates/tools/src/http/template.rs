//! Text, URLs and JSON with names in braces that arguments replace. Replacing happens at the level of values: an
//! argument can fill its place and nothing else, whatever characters it holds.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use url::Url;

/// A template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a brace is open or closed alone; write `{{{{` or `}}}}` for a brace as text")]
    Brace,
    #[error("`{name}` is no name for an argument: letters, digits and `_` are")]
    Name { name: String },
    #[error("it is not an absolute http or https URL")]
    Url,
    #[error("arguments may stand in the path, not in the scheme, host, port or fragment")]
    Place,
    #[error("arguments of the query belong into `query`")]
    Query,
    #[error("this header does not exist or is written by the server itself")]
    HeaderName,
    #[error("it holds characters that cannot stand in a header")]
    HeaderValue,
}

/// An argument that the template needs is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing;

type Values<'a> = &'a dyn Fn(&str) -> Option<Value>;

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Parameter(String),
}

/// Text with names in braces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text(Vec<Part>);

impl Text {
    pub(super) fn parse(template: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    text.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(TemplateError::Brace),
                        }
                    }
                    let is_name = !name.is_empty()
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    if !is_name {
                        return Err(TemplateError::Name { name });
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Parameter(name));
                }
                '}' => return Err(TemplateError::Brace),
                other => text.push(other),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self(parts))
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The one name that the template is, if it is nothing else.
    fn whole(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Parameter(name)] => Some(name),
            _ => None,
        }
    }

    pub(super) fn fill(&self, values: Values<'_>) -> Result<String, Missing> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Parameter(name) => filled.push_str(&plain(values(name)).ok_or(Missing)?),
            }
        }
        Ok(filled)
    }

    /// Several texts where the template is one name and its value a list.
    pub(super) fn fill_each(&self, values: Values<'_>) -> Result<Vec<String>, Missing> {
        if let Some(name) = self.whole()
            && let Some(Value::Array(items)) = values(name)
        {
            return Ok(items
                .into_iter()
                .filter_map(|item| plain(Some(item)))
                .collect());
        }
        self.fill(values).map(|text| vec![text])
    }
}

/// A value as text: a string as it is, anything else as JSON. `null` counts as missing.
fn plain(value: Option<Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// A URL with names in its path.
#[derive(Debug, Clone)]
pub(super) struct UrlTemplate {
    source: String,
    /// Scheme, host and port; nothing that an argument fills can change it.
    base: Url,
    segments: Vec<Text>,
}

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl UrlTemplate {
    pub(super) fn parse(source: &str) -> Result<Self, TemplateError> {
        let authority_at = source.find("://").ok_or(TemplateError::Url)? + 3;
        let path_at = source[authority_at..]
            .find(['/', '?', '#'])
            .map_or(source.len(), |at| at + authority_at);
        let (origin, path) = source.split_at(path_at);
        if origin.contains(['{', '}']) || path.contains('#') {
            return Err(TemplateError::Place);
        }
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(p, q)| (p, Some(q)));
        if query.is_some_and(|query| query.contains(['{', '}'])) {
            return Err(TemplateError::Query);
        }
        let mut base = Url::parse(origin).map_err(|_| TemplateError::Url)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(TemplateError::Url);
        }
        base.set_query(query);
        let segments = path
            .split('/')
            .skip(1)
            .map(Text::parse)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            source: source.to_owned(),
            base,
            segments,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or(443)
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(Text::parameters)
    }

    /// The template itself, which holds no argument; its query may hold a key, so it is left out.
    pub(super) fn shown(&self) -> &str {
        self.source.split('?').next().unwrap_or_default()
    }

    /// The URL. Each argument stays within its own segment: `/`, `?`, `#` and `%` are encoded, and what would be no
    /// segment at all or a step up (`..`) is refused.
    pub(super) fn fill(&self, values: Values<'_>) -> Result<Url, String> {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            let mut filled = String::new();
            for part in &segment.0 {
                match part {
                    Part::Text(text) => filled.push_str(text),
                    Part::Parameter(name) => {
                        let value = plain(values(name)).filter(|value| !value.is_empty());
                        let value = value.ok_or_else(|| {
                            format!(
                                "the argument `{name}` must not be empty: it is part of an address"
                            )
                        })?;
                        filled.extend(utf8_percent_encode(&value, SEGMENT));
                    }
                }
            }
            let is_step = matches!(
                percent_decode_str(&filled).decode_utf8_lossy().as_ref(),
                "." | ".."
            );
            if is_step && let Some(name) = segment.parameters().next() {
                return Err(format!(
                    "the argument `{name}` must not be a step in a path"
                ));
            }
            path.push_str(&filled);
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        Ok(url)
    }
}

/// A JSON body with names in its strings.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Fixed(Value),
    /// A string that is one name: replaced by the argument whatever its type.
    Whole(String),
    Text(Text),
    List(Vec<Body>),
    Object(Vec<(String, Body)>),
}

impl Body {
    pub(super) fn parse(template: &Value) -> Result<Self, TemplateError> {
        Ok(match template {
            Value::String(text) => {
                let text = Text::parse(text)?;
                match text.whole() {
                    Some(name) => Self::Whole(name.to_owned()),
                    None => Self::Text(text),
                }
            }
            Value::Array(items) => {
                Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::parse(value)?)));
                Self::Object(entries.collect::<Result<_, TemplateError>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(template.clone()),
        })
    }

    pub(super) fn parameters(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Fixed(_) => {}
            Self::Whole(name) => {
                into.insert(name.clone());
            }
            Self::Text(text) => into.extend(text.parameters().map(str::to_owned)),
            Self::List(items) => items.iter().for_each(|item| item.parameters(into)),
            Self::Object(entries) => {
                for (_, value) in entries {
                    value.parameters(into);
                }
            }
        }
    }

    /// The body; an entry whose argument is missing is left out, and `None` is the body of nothing but such.
    pub(super) fn fill(&self, values: Values<'_>) -> Option<Value> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Whole(name) => values(name),
            Self::Text(text) => text.fill(values).ok().map(Value::String),
            Self::List(items) => Some(Value::Array(
                items.iter().filter_map(|item| item.fill(values)).collect(),
            )),
            Self::Object(entries) => {
                let filled = entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone(), value.fill(values)?)));
                Some(Value::Object(filled.collect::<Map<_, _>>()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
