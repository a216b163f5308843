//! OpenAPI documents, read when the server starts. What becomes of them is the gateway's.

use crate::cli::Failure;
use crate::config::Settings;
use ::tools::openapi::{self, OpenapiConfig, fetch};
use ::tools::{ToolConfigs, egress};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

/// The tools of every document.
pub async fn tools(settings: &Settings) -> Result<ToolConfigs, Failure> {
    let mut tools = BTreeMap::new();
    for (name, config) in &settings.tools.openapi {
        let document = document(name, config, settings).await?;
        let described = openapi::tools(name, config, &document);
        let described = described.map_err(|error| failed(name, &error))?;
        tools.extend(described.0);
    }
    Ok(ToolConfigs(tools))
}

async fn document(
    name: &str,
    config: &OpenapiConfig,
    settings: &Settings,
) -> Result<Value, Failure> {
    let place = &config.document;
    let text = if place.starts_with("http://") || place.starts_with("https://") {
        fetch(place, &settings.tools.egress, Arc::new(egress::System))
            .await
            .map_err(|error| failed(name, &error))?
    } else {
        std::fs::read_to_string(place).map_err(|error| failed(name, &error))?
    };
    match serde_json::from_str(&text) {
        Ok(document) => Ok(document),
        // JSON that is broken is broken YAML as well, so nothing is lost by telling of this one alone.
        Err(_) => serde_saphyr::from_str(&text).map_err(|error| failed(name, &error)),
    }
}

fn failed(name: &str, error: &dyn Error) -> Failure {
    let mend = format!("look at [openapi.{name}] in the configuration, and at its document");
    Failure::new(
        format!("the tools of [openapi.{name}] cannot be made"),
        mend,
    )
    .because(error)
}
