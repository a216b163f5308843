//! Operations of an OpenAPI document (3.0 and 3.1) as HTTP tools: chosen ones only, each with the schema of its parameters
//! and body. What comes of it is ordinary tool settings, so that every rule of HTTP tools holds. It reads no file.

mod fetch;
mod schema;

pub use fetch::{FetchError, fetch};

use crate::config::{Common, HttpConfig, Kind, Setting, ToolConfig, ToolConfigs};
use crate::limits;
use crate::mcp::BETWEEN;
use crate::probe::Probe;
use domain::approval::AskOptions;
use domain::tool::{Effect, Policy};
use schema::Schemas;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `[openapi.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenapiConfig {
    /// A file, or a URL that is read when the server starts; JSON or YAML.
    pub document: String,
    /// Where the service is; the document's first server if absent.
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, Setting>,
    /// The operations to offer, by their ids.
    pub operations: Vec<String>,
    /// What single operations do when repeated; `idempotent` for GET and HEAD, else `unsafe`.
    #[serde(default)]
    pub effects: BTreeMap<String, Effect>,
    #[serde(default)]
    pub policy: Policy,
    /// Policies of single operations.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    /// How to find out what became of lost calls of single operations.
    #[serde(default)]
    pub probes: BTreeMap<String, Probe>,
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    #[serde(default = "max_result_bytes")]
    pub max_result_bytes: usize,
    #[serde(default = "max_concurrency")]
    pub max_concurrency: usize,
}

fn timeout_s() -> f64 {
    limits::TIMEOUT_DEFAULT.as_secs_f64()
}

fn max_result_bytes() -> usize {
    limits::RESULT_BYTES_DEFAULT
}

fn max_concurrency() -> usize {
    limits::CONCURRENCY_DEFAULT
}

/// A document or an operation of it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenapiError {
    #[error("it is no OpenAPI document of version 3")]
    Version,
    #[error("it names no server by an absolute URL; set `base_url`")]
    NoServer,
    #[error("there is no operation `{id}`; there are: {known}")]
    UnknownOperation { id: String, known: String },
    #[error("`{setting}` names the operation `{id}`, which is not among `operations`")]
    NotChosen { setting: &'static str, id: String },
    #[error("operation `{id}`: {what}")]
    Operation { id: String, what: String },
    #[error("`$ref` may only lead to another place of the document, not to `{reference}`")]
    ForeignReference { reference: String },
    #[error("`$ref` names `{reference}`, which is not there, or leads in a circle")]
    DanglingReference { reference: String },
}

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// Operation ids that an error lists.
const LISTED: usize = 30;

/// The chosen operations as tools, named `NAME__OPERATION`.
pub fn tools(
    name: &str,
    config: &OpenapiConfig,
    document: &Value,
) -> Result<ToolConfigs, OpenapiError> {
    if !document["openapi"]
        .as_str()
        .is_some_and(|version| version.starts_with("3."))
    {
        return Err(OpenapiError::Version);
    }
    let base = base(config, document)?;
    let chosen = |id: &String| config.operations.contains(id);
    let settings = [
        ("effects", config.effects.keys().find(|id| !chosen(id))),
        ("policies", config.policies.keys().find(|id| !chosen(id))),
        ("probes", config.probes.keys().find(|id| !chosen(id))),
    ];
    for (setting, stray) in settings {
        if let Some(id) = stray {
            let id = id.clone();
            return Err(OpenapiError::NotChosen { setting, id });
        }
    }
    let all = operations(document);
    let mut tools = BTreeMap::new();
    for id in &config.operations {
        let Some(found) = all.get(id.as_str()) else {
            let known: Vec<&str> = all.keys().copied().take(LISTED).collect();
            return Err(OpenapiError::UnknownOperation {
                id: id.clone(),
                known: known.join(", "),
            });
        };
        let maker = Maker {
            config,
            id,
            found,
            schemas: Schemas::of(document),
        };
        tools.insert(tool_name(name, id), maker.tool(&base)?);
    }
    Ok(ToolConfigs(tools))
}

fn tool_name(name: &str, id: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain = |c: char| if allowed(c) { c } else { '_' };
    format!("{name}{BETWEEN}{id}").chars().map(plain).collect()
}

fn base(config: &OpenapiConfig, document: &Value) -> Result<String, OpenapiError> {
    let written = document["servers"][0]["url"].as_str();
    let url = config.base_url.as_deref().or(written).unwrap_or_default();
    let is_absolute = url.starts_with("http://") || url.starts_with("https://");
    if !is_absolute || url.contains(['{', '}']) {
        return Err(OpenapiError::NoServer);
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// An operation and where it stands.
struct Found<'a> {
    method: &'static str,
    path: &'a str,
    /// Shared by all operations of the path.
    parameters: &'a Value,
    operation: &'a Value,
}

/// Every operation that has an id.
fn operations(document: &Value) -> BTreeMap<&str, Found<'_>> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let operation = &item[method];
            if let Some(id) = operation["operationId"].as_str() {
                let parameters = &item["parameters"];
                all.insert(
                    id,
                    Found {
                        method,
                        path,
                        parameters,
                        operation,
                    },
                );
            }
        }
    }
    all
}

struct Maker<'a> {
    config: &'a OpenapiConfig,
    id: &'a str,
    found: &'a Found<'a>,
    schemas: Schemas<'a>,
}

/// What a request is made from, as it grows.
#[derive(Default)]
struct Request {
    properties: Map<String, Value>,
    required: Vec<Value>,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, Setting>,
    body: Option<Value>,
}

impl Maker<'_> {
    fn wrong(&self, what: impl Into<String>) -> OpenapiError {
        OpenapiError::Operation {
            id: self.id.to_owned(),
            what: what.into(),
        }
    }

    fn tool(mut self, base: &str) -> Result<ToolConfig, OpenapiError> {
        let mut request = Request {
            path: self.found.path.to_owned(),
            headers: self.config.headers.clone(),
            ..Request::default()
        };
        for parameter in self.parameters()? {
            self.parameter(&parameter, &mut request)?;
        }
        self.body(&mut request)?;
        let mut input_schema = json!({
            "type": "object",
            "properties": request.properties,
            "required": request.required,
            "additionalProperties": false,
        });
        let defs = self.schemas.used()?;
        if !defs.is_empty() {
            input_schema["$defs"] = Value::Object(defs);
        }
        let reads = matches!(self.found.method, "get" | "head");
        let usual = if reads {
            Effect::Idempotent
        } else {
            Effect::Unsafe
        };
        let config = self.config;
        Ok(ToolConfig {
            common: Common {
                description: self.description(),
                effect: Some(config.effects.get(self.id).copied().unwrap_or(usual)),
                approval: AskOptions::default(),
                probe: config.probes.get(self.id).cloned(),
                policy: config
                    .policies
                    .get(self.id)
                    .copied()
                    .unwrap_or(config.policy),
                risk: None,
                labels: None,
                input_schema: input_schema.as_object().cloned(),
                timeout_s: config.timeout_s,
                max_result_bytes: config.max_result_bytes,
                max_concurrency: config.max_concurrency,
            },
            kind: Kind::Http(HttpConfig {
                method: self.found.method.to_uppercase(),
                url: format!("{base}{}", request.path),
                query: request.query,
                headers: request.headers,
                body: request.body,
                redirects: 0,
            }),
        })
    }

    fn description(&self) -> String {
        let operation = self.found.operation;
        let texts = [&operation["summary"], &operation["description"]];
        let mut told: Vec<&str> = texts.iter().filter_map(|text| text.as_str()).collect();
        told.dedup();
        let text = told.join("\n\n");
        text.chars()
            .take(limits::MCP_DESCRIPTION_BYTES_MAX / 4)
            .collect()
    }

    /// Those of the operation, and those of its path that it does not replace.
    fn parameters(&self) -> Result<Vec<Value>, OpenapiError> {
        let mut all: Vec<Value> = Vec::new();
        let lists = [&self.found.operation["parameters"], self.found.parameters];
        for parameter in lists.iter().filter_map(|list| list.as_array()).flatten() {
            let parameter = self.schemas.resolved(parameter)?.clone();
            let same = |other: &Value| {
                other["name"] == parameter["name"] && other["in"] == parameter["in"]
            };
            if !all.iter().any(same) {
                all.push(parameter);
            }
        }
        Ok(all)
    }

    fn parameter(&mut self, parameter: &Value, request: &mut Request) -> Result<(), OpenapiError> {
        let name = parameter["name"].as_str().unwrap_or_default();
        let place = parameter["in"].as_str().unwrap_or_default();
        let is_required = parameter["required"] == true || place == "path";
        let own = ["accept", "content-type", "authorization"];
        if place == "header" && own.contains(&name.to_ascii_lowercase().as_str()) {
            // OpenAPI says to pass these over: credentials are the operator's to set.
            return Ok(());
        }
        let argument = argument(name, &request.properties);
        let slot = format!("{{{argument}}}");
        match place {
            "path" => {
                let there = format!("{{{name}}}");
                if !request.path.contains(&there) {
                    return Err(self.wrong(format!("its path has no `{there}`")));
                }
                request.path = request.path.replace(&there, &slot);
            }
            "query" => {
                request.query.insert(name.to_owned(), slot);
            }
            "header" => {
                request
                    .headers
                    .insert(name.to_owned(), Setting::Literal(slot));
            }
            _ if is_required => {
                return Err(self.wrong(format!(
                    "its parameter `{name}` in `{place}` is not supported"
                )));
            }
            _ => return Ok(()),
        }
        let mut schema = self.schemas.own(&parameter["schema"])?;
        if let (Some(schema), Some(text)) =
            (schema.as_object_mut(), parameter["description"].as_str())
        {
            schema.entry("description").or_insert_with(|| json!(text));
        }
        if is_required {
            request.required.push(json!(argument));
        }
        request.properties.insert(argument, schema);
        Ok(())
    }

    fn body(&mut self, request: &mut Request) -> Result<(), OpenapiError> {
        let written = &self.found.operation["requestBody"];
        if written.is_null() {
            return Ok(());
        }
        let body = self.schemas.resolved(written)?.clone();
        let is_required = body["required"] == true;
        let media = body["content"].as_object();
        let json = media.and_then(|media| {
            let is_json = |kind: &&String| kind.split(';').next() == Some("application/json");
            media
                .iter()
                .find(|(kind, _)| is_json(kind))
                .map(|(_, media)| media)
        });
        let Some(json) = json else {
            if is_required {
                return Err(self.wrong("its body is not JSON"));
            }
            return Ok(());
        };
        let argument = argument("body", &request.properties);
        let schema = self.schemas.own(&json["schema"])?;
        request.properties.insert(argument.clone(), schema);
        if is_required {
            request.required.push(json!(argument));
        }
        request.body = Some(json!(format!("{{{argument}}}")));
        Ok(())
    }
}

/// A name that a template takes, and that no other parameter has.
fn argument(name: &str, taken: &Map<String, Value>) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    let mut argument = match plain.as_str() {
        "" => "value".to_owned(),
        reserved if reserved.starts_with("runyard_") => format!("their_{plain}"),
        _ => plain,
    };
    while taken.contains_key(&argument) {
        argument.push('_');
    }
    argument
}
