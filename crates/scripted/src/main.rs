//! The scripted model server as a program of its own, for tests that kill processes and for the
//! benchmark.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use clap::Parser;
use scripted::{Reply, SENT_AT_MARKER, Script, Server, When, reply};

/// A model server that answers as told, on the wires of real providers.
#[derive(Debug, Parser)]
#[command(name = "scripted-model", version)]
struct Options {
    /// The address to listen at; port 0 is any free port. The address is the first line of the
    /// output.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A script: a file, or JSON itself. The options below make one where this is absent.
    #[arg(long)]
    script: Option<String>,
    /// How many tokens an answer has.
    #[arg(long, default_value_t = 20)]
    tokens: usize,
    /// Wait before each token but the first, in milliseconds.
    #[arg(long, default_value_t = 0)]
    token_delay_ms: u64,
    /// Wait before the first byte, in milliseconds.
    #[arg(long, default_value_t = 0)]
    first_byte_ms: u64,
    /// Each token tells when it was sent: `tok0@` and the microseconds since 1970 in 16 hexadecimal
    /// digits.
    #[arg(long)]
    stamp: bool,
    /// Call this tool first, and answer after its result.
    #[arg(long)]
    tool: Option<String>,
    /// The arguments of that call, in JSON.
    #[arg(long, default_value = "{}", requires = "tool")]
    tool_args: String,
    /// For load: requests are counted, but neither parsed nor kept.
    #[arg(long)]
    fast: bool,
    /// How many requests are kept.
    #[arg(long, default_value_t = 10_000)]
    keep: usize,
    /// Threads; as many as there are processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads.max(1));
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    let script = match &options.script {
        Some(script) => read_script(script)?,
        None => script_of(&options),
    };
    let builder = Server::builder().listen(options.listen).script(script);
    let started = builder.fast(options.fast).keep(options.keep).start().await;
    let server = started.with_context(|| format!("cannot listen at {}", options.listen))?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", server.url()).context("the output is closed")?;
    drop(output);
    server.run().await;
    Ok(())
}

fn read_script(script: &str) -> anyhow::Result<Script> {
    let text = if script.trim_start().starts_with('{') {
        script.to_owned()
    } else {
        let path = Path::new(script);
        std::fs::read_to_string(path).with_context(|| format!("cannot read {script}"))?
    };
    serde_json::from_str(&text).context("the script is not one")
}

fn script_of(options: &Options) -> Script {
    let paced = reply()
        .first_byte_ms(options.first_byte_ms)
        .between_ms(options.token_delay_ms);
    let answer = paced.clone();
    let answer: Reply = if options.stamp {
        let tokens = (0..options.tokens).map(|index| format!("tok{index}@{SENT_AT_MARKER} "));
        answer.text_tokens(tokens).build()
    } else {
        answer.token_count(options.tokens).build()
    };
    match &options.tool {
        Some(tool) => {
            let call = paced.tool_call_made_up(tool, &options.tool_args).build();
            Script::always(call).rule(When::tool_result(), answer)
        }
        None => Script::always(answer),
    }
}
