// The real server and a scripted model, each started for the tests and ended with them.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const START_MS = 120_000;

export const OWNER_KEY = "ry_owner_of_the_client_tests";

const config = (model, port) => `
agents = "agents"

[[lanes]]
name = "beside"
kind = "local"
wire = "openai-chat"
base_url = "${model}/v1"
models = ["tiny"]

[egress]
allow_private = ["127.0.0.1:${port}"]

[tools.get_model]
kind = "http"
description = "A model by its id."
url = "http://127.0.0.1:${port}/models/{model_id}"
effect = "idempotent"
input_schema = { type = "object", properties = { model_id = { type = "string" } }, required = ["model_id"] }

[tools.deploy_model]
kind = "http"
description = "Deploys a model."
method = "POST"
url = "http://127.0.0.1:${port}/deploy/{model_id}"
policy = "ask"
input_schema = { type = "object", properties = { model_id = { type = "string" } }, required = ["model_id"] }
`;

const AGENT = `---
agent_type: deployment_advisor
tools: [get_model, deploy_model]
---
You advise on deployments.
`;

/** A program of this repository: where the environment says, else where cargo leaves it. */
function program(name) {
  const path = join(process.env.RUNYARD_PROGRAMS ?? join(REPOSITORY, "target", "debug"), name);
  if (!existsSync(path)) {
    throw new Error(`${path} is missing; this makes it: cargo build -p server -p scripted --bins`);
  }
  return path;
}

/** The environment without what would lead a program to somebody's real model, key or settings. */
function cleanEnvironment(folder) {
  const foreign = /^(OPENAI|ANTHROPIC|GEMINI|GOOGLE|OLLAMA|RUNYARD)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
}

export class World {
  static async start() {
    const world = new World();
    world.folder = mkdtempSync(join(tmpdir(), "runyard-clients-"));
    world.processes = [];
    try {
      world.tools = createServer((request, response) => {
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify({ id: request.url.split("/").at(-1), framework: "gguf" }));
      });
      await new Promise((ready) => world.tools.listen(0, "127.0.0.1", ready));
      world.modelUrl = await world.spawn([program("scripted-model")], "http://");
      mkdirSync(join(world.folder, "agents"));
      writeFileSync(join(world.folder, "agents", "deployment_advisor.md"), AGENT);
      const file = join(world.folder, "runyard.toml");
      writeFileSync(file, config(world.modelUrl, world.tools.address().port));
      const serve = ["serve", "--listen", "127.0.0.1:0", "--data", join(world.folder, "data"), "--config", file];
      world.url = await world.spawn([program("runyard"), ...serve], "is ready at ");
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  /** Starts a program and reads its address, which follows `before` on a line of its output. */
  async spawn([path, ...args], before) {
    const log = join(this.folder, `${basename(path)}.log`);
    const env = { ...cleanEnvironment(this.folder), RUNYARD_OWNER_KEY: OWNER_KEY };
    const child = spawn(path, args, { env, cwd: this.folder, stdio: ["ignore", "pipe", openSync(log, "w")] });
    this.processes.push(child);
    const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes(before)) {
        clearTimeout(timer);
        child.stdout.resume();
        return line.slice(line.indexOf("http://")).split(/\s/)[0];
      }
    }
    throw new Error(`${path} did not start:\n${readFileSync(log, "utf8")}`);
  }

  async stop() {
    const ended = this.processes.map((child) => new Promise((end) => child.once("exit", end)));
    for (const child of this.processes.toReversed()) child.kill("SIGTERM");
    await Promise.all(ended);
    this.tools.closeAllConnections();
    this.tools.close();
    rmSync(this.folder, { recursive: true });
  }

  async ask(method, path, body, key = OWNER_KEY) {
    const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
    const answer = await fetch(`${this.url}/api/v1/agents${path}`, { method, headers, body: body && JSON.stringify(body) });
    return { status: answer.status, body: await answer.json() };
  }

  async session(more = {}) {
    // A client that says nothing of its device is taken to run its own model.
    const begin = { agent_type: "deployment_advisor", query: "Which model?", context: {}, lane: "beside", ...more };
    return (await this.ask("POST", "/sessions", begin)).body;
  }

  async steps(session) {
    return (await this.ask("GET", `/runs/${session.session_id}`)).body.steps;
  }

  /** What the scripted model answers from here on; its memory of requests begins anew. */
  async play(script) {
    await fetch(`${this.modelUrl}/__requests`, { method: "DELETE" });
    const answer = await fetch(`${this.modelUrl}/__script`, { method: "POST", body: JSON.stringify(script) });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** The messages of each request since `play`, without the system prompt. */
  async history() {
    const requests = await (await fetch(`${this.modelUrl}/__requests`)).json();
    return requests.filter((request) => request.wire).map((request) => request.body.messages.slice(1));
  }
}

export const says = (...tokens) => ({ otherwise: { parts: [{ text: tokens }] } });
