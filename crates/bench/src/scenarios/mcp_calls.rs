//! Calls of an MCP server's tool through the gateway, beside calls of the same server with the SDK alone: what schema,
//! ledger key, limits and comparison with the trusted definition cost a call. Both sides are in this process and take
//! turns; the server is a process of its own over stdio, and a task of this one over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use domain::CallId;
use domain::ports::clock::Clock;
use domain::ports::tools::{CallContext, Proposed, Tools};
use domain::run::{Call, CallState};
use domain::tool::{CallKey, ToolOutcome};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use scripted::{Does, Era, McpServer, McpTool};
use serde_json::json;
use tools::mcp::{McpConfig, Servers, Unpinned};
use tools::{EgressConfig, Gateway, PolicyConfig, Setup, ToolConfigs};
use uuid::Uuid;

use super::caller::{Still, context, scope};
use crate::report::{Cell, Check, Report};
use crate::run::{Plan, progress};
use crate::stats;

pub const NAME: &str = "mcp_calls";
/// Calls in a row of one side, before the other's turn.
const CALLS: usize = 200;
const COLUMNS: [&str; 6] = [
    "transport",
    "calls",
    "SDK alone p50, µs",
    "gateway p50, µs",
    "added, µs",
    "ratio",
];
const RATIO_GOAL: f64 = 1.5;

fn served() -> Vec<McpTool> {
    vec![McpTool::new("echo", Does::Echo)]
}

/// The server that both sides start as a process of its own.
pub async fn serve() {
    McpServer::serve_stdio(Era::Legacy, served()).await;
}

/// Both sides over one transport.
struct Pair {
    name: &'static str,
    direct: RunningService<RoleClient, ()>,
    gateway: Arc<Gateway>,
    context: CallContext,
    stop: tokio_util::sync::CancellationToken,
    /// One value for each round.
    samples: Vec<(f64, f64)>,
}

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    // Fails only if it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let program = std::env::current_exe()?.display().to_string();
    let mut command = tokio::process::Command::new(&program);
    command.arg("mcp-server");
    let direct = ().serve(TokioChildProcess::new(command)?).await?;
    let config = json!({ "command": program, "args": ["mcp-server"], "protocol": "2025-11-25" });
    let stdio = Pair::new("stdio", direct, config).await?;
    let server = McpServer::start(Era::Legacy, served()).await;
    let url = server.url();
    let direct = ().serve(StreamableHttpClientTransport::from_uri(url.clone())).await?;
    let config = json!({ "url": url, "protocol": "2025-11-25" });
    let http = Pair::new("streamable HTTP", direct, config).await?;

    let mut pairs = [stdio, http];
    for round in 0..plan.rounds {
        progress(&format!("{NAME}: round {} of {}", round + 1, plan.rounds));
        for pair in &mut pairs {
            pair.round(plan.time).await?;
        }
    }
    let title = "a call of an MCP tool that echoes its argument, one after the other";
    let mut report = Report::new(NAME, title, &COLUMNS);
    for pair in pairs {
        let of = |part: fn(&(f64, f64)) -> f64| {
            stats::median(&pair.samples.iter().map(part).collect::<Vec<_>>())
        };
        let (direct, gateway) = (of(|sample| sample.0), of(|sample| sample.1));
        let ratio = of(|sample| sample.1 / sample.0);
        let added = of(|sample| sample.1 - sample.0);
        report.rows.push(vec![
            Cell::text(pair.name),
            Cell::count((pair.samples.len() * CALLS) as u64),
            Cell::Number(direct, 0),
            Cell::Number(gateway, 0),
            Cell::Number(added, 0),
            Cell::Number(ratio, 2),
        ]);
        let what = format!(
            "a call through the gateway over {}, times the SDK's",
            pair.name
        );
        report
            .checks
            .push(Check::at_most(what, ratio, RATIO_GOAL, ""));
        pair.stop.cancel();
        let _ = pair.direct.cancel().await;
    }
    Ok(report)
}

impl Pair {
    async fn new(
        name: &'static str,
        direct: RunningService<RoleClient, ()>,
        config: serde_json::Value,
    ) -> anyhow::Result<Self> {
        let config: McpConfig = serde_json::from_value(config)?;
        let (servers, none) = (
            BTreeMap::from([("echo".to_owned(), config)]),
            ToolConfigs::default(),
        );
        let egress = EgressConfig::default();
        let env = |name: &str| std::env::var(name).ok();
        let data = std::env::temp_dir();
        let servers = Servers::build(&tools::mcp::Setup {
            servers: &servers,
            tools: &none,
            egress: &egress,
            lookup: Arc::new(tools::egress::System),
            pins: Arc::new(Unpinned),
            logins: None,
            clock: Arc::new(Still),
            env: &env,
            data: &data,
        })?;
        let gateway = Arc::new(Gateway::build(Setup {
            tools: none,
            databases: BTreeMap::new(),
            egress,
            policy: PolicyConfig::default(),
            asking: domain::approval::AskOptions::default(),
            clock: Arc::new(Still),
            results: None,
            lookup: Arc::new(tools::egress::System),
            env: &env,
            data: &data,
        })?);
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::spawn(servers.run(gateway.clone(), stop.clone()));
        let until = Instant::now() + Duration::from_secs(60);
        while gateway.names().is_empty() {
            if Instant::now() > until {
                bail!("the gateway's server does not start over {name}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self {
            name,
            direct,
            gateway,
            context: context("echo__echo"),
            stop,
            samples: Vec::new(),
        })
    }

    /// Both sides by turns for the time, which side begins changing; the medians of both are one sample.
    async fn round(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        let (mut direct, mut gateway) = (Vec::new(), Vec::new());
        let mut turn = 0_usize;
        while turn < 2 || Instant::now() < until {
            for side in 0..2 {
                if (side + turn).is_multiple_of(2) {
                    self.call_directly(&mut direct).await?;
                } else {
                    self.call_gateway(&mut gateway).await?;
                }
            }
            turn += 1;
        }
        self.samples
            .push((stats::median(&direct), stats::median(&gateway)));
        Ok(())
    }

    async fn call_directly(&self, times: &mut Vec<f64>) -> anyhow::Result<()> {
        for _ in 0..CALLS {
            let arguments = json!({ "tag": "x" }).as_object().cloned();
            let params = CallToolRequestParams::new("echo")
                .with_arguments(arguments.context("an object is one")?);
            let begun = Instant::now();
            let result = self.direct.peer().call_tool(params).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            anyhow::ensure!(result.is_error != Some(true), "the tool failed");
        }
        Ok(())
    }

    async fn call_gateway(&self, times: &mut Vec<f64>) -> anyhow::Result<()> {
        let scope = scope()?;
        for step_index in 0..CALLS {
            let proposed = Proposed {
                client_id: None,
                name: "echo__echo".to_owned(),
                arguments: r#"{"tag":"x"}"#.to_owned(),
            };
            let begun = Instant::now();
            let mut plans = self
                .gateway
                .plan(&scope, &self.context, vec![proposed])
                .await;
            let planned = plans.pop().context("a plan for each call")?;
            let id = CallId::minted(Uuid::from_u128(step_index as u128));
            let step_index = u32::try_from(step_index)?;
            let call = Call {
                key: CallKey::new(scope.org(), self.context.run_id, step_index, &id),
                id,
                step_index,
                name: planned.name,
                arguments: planned.arguments,
                arguments_digest: planned.arguments_digest,
                tool_version: planned.tool_version,
                effect: planned.effect,
                requested_at: Still.now(),
                attempt: 1,
                judgement: planned.judgement,
                has_probe: false,
                warrant: None,
                asked_digest: None,
                state: CallState::Dispatched { at: Still.now() },
            };
            let limit = Duration::from_secs(20);
            let outcome = self
                .gateway
                .execute(&scope, &self.context, &call, limit)
                .await;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            match outcome {
                ToolOutcome::Committed(result) if !result.is_error => {}
                other => bail!("the call went wrong: {other:?}"),
            }
        }
        Ok(())
    }
}
