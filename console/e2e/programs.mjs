// Starts the programs that the tests need: the server, the scripted model and a browser. Each test file has its own
// server on its own data folder; all of it ends with the process that started it.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const TOP = join(dirname(fileURLToPath(import.meta.url)), '../..');
const TARGET = process.env.CARGO_TARGET_DIR ?? join(TOP, 'target');
export const OWNER_KEY = 'ry_console_tests_owner_key_0123456789';
/** How long a program may take to start, or to notice a file. */
const START_MS = 60_000;
/** How long one call may take; reading a run's events waits for the end of the run. */
const CALL_MS = 20_000;

/** @param {string} name */
function program(name) {
  const path = join(TARGET, 'debug', name);
  if (!existsSync(path)) {
    throw new Error(`${path} is missing; make it: cargo build -p server -p scripted`);
  }
  return path;
}

/** @type {Set<() => Promise<void> | void>} */
const closers = new Set();

/** Ends everything that was started, each within a limit: what hangs must not keep the rest running. */
export async function closeAll() {
  for (const close of [...closers].reverse()) {
    await within(10_000, 'something that was started has ended', close()).catch((error) => console.error(error));
  }
  closers.clear();
}

/**
 * What `work` gives, or an error once it takes too long.
 * @template T @param {number} ms @param {string} what @param {Promise<T> | T} work @returns {Promise<T>}
 */
async function within(ms, what, work) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain until ${what}`)), ms);
  });
  try {
    return await /** @type {Promise<T>} */ (Promise.race([work, late]));
  } finally {
    clearTimeout(timer);
  }
}

/** The first line of a program's output that says what is looked for. @param {import('node:stream').Readable} output @param {RegExp} sought */
function line(output, sought) {
  return within(
    START_MS,
    `a program printed ${sought}`,
    new Promise((resolve, reject) => {
      const lines = createInterface({ input: output });
      lines.on('line', (text) => {
        const found = sought.exec(text)?.[0];
        if (found) resolve(found);
      });
      lines.once('close', () => reject(new Error(`a program ended before it printed ${sought}`)));
    }),
  );
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<void>}
 */
function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** A model server; `url` is its address, `control` its own paths. */
export async function startModel() {
  const child = spawn(program('scripted-model'), ['--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  closers.add(async () => {
    child.kill('SIGKILL');
    await ended(child);
  });
  const url = await line(child.stdout, /^http\S+/);
  /** @param {string} path @param {unknown} [body] */
  const post = async (path, body) => {
    const response = await fetch(`${url}/__${path}`, { method: 'POST', body: body === undefined ? '' : JSON.stringify(body), signal: AbortSignal.timeout(CALL_MS) });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  };
  return {
    url,
    /** @param {object} script */
    play: (script) => post('script', script),
    /** @param {string} gate */
    open: (gate) => post(`gates/${gate}`),
  };
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/**
 * The origin of an empty page that is not the server's.
 * @returns {Promise<string>}
 */
export function startElsewhere() {
  const pages = createHttpServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>Elsewhere</title>'));
  closers.add(() => {
    pages.closeAllConnections();
    pages.close();
  });
  return new Promise((resolve) => {
    pages.listen(0, '127.0.0.1', () => {
      const address = pages.address();
      resolve(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
    });
  });
}

/**
 * A server with one lane that leads to the model, and one that its org may not use. It keeps its address and data when it is killed and started again.
 * @param {{ url: string }} model @param {string} origin Whose pages may call it
 */
export async function startServer(model, origin) {
  const folder = mkdtempSync(join(tmpdir(), 'runyard-console-'));
  const data = join(folder, 'data');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  writeFileSync(
    join(folder, 'runyard.toml'),
    `
allowed_origins = ["${origin}"]

[[lanes]]
name = "near"
kind = "local"
wire = "openai-chat"
base_url = "${model.url}/v1"
models = ["scripted"]
price = { input_micro_usd = 1_000_000, output_micro_usd = 5_000_000 }
retries = { attempts = 1, base_ms = 10 }

[[lanes]]
name = "far"
kind = "cloud"
wire = "openai-chat"
base_url = "${model.url}/v1"
models = ["scripted"]

[orgs.default]
lane_kinds = ["device", "local"]
`,
  );
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  const start = async () => {
    const started = spawn(
      program('runyard'),
      ['serve', '--listen', `127.0.0.1:${port}`, '--data', data, '--config', join(folder, 'runyard.toml')],
      {
        cwd: folder,
        stdio: ['ignore', 'ignore', process.env.RUNYARD_E2E_LOG ? 'inherit' : 'ignore'],
        env: { PATH: process.env.PATH, HOME: folder, RUNYARD_OWNER_KEY: OWNER_KEY, RUNYARD_DETECT: 'false' },
      },
    );
    child = started;
    await until(async () => {
      if (started.exitCode !== null) throw new Error(`the server ended with ${started.exitCode}; see RUNYARD_E2E_LOG=1`);
      return fetch(`${url}/readyz`, { signal: AbortSignal.timeout(CALL_MS) }).then((response) => response.ok, () => false);
    }, 'the server is ready');
  };
  const kill = async () => {
    child?.kill('SIGKILL');
    if (child) await ended(child);
  };
  closers.add(async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  /** @param {string} method @param {string} path @param {unknown} [body] @param {string} [key] */
  const call = async (method, path, body, key = OWNER_KEY) => {
    const response = await fetch(`${url}/api/v1/agents${path}`, {
      method,
      signal: AbortSignal.timeout(CALL_MS),
      headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text.startsWith('{') ? JSON.parse(text) : text;
  };
  return {
    url,
    start,
    kill,
    call,
    /** A command beside the server, on its store. @param {string[]} words @returns {Promise<string>} what it says */
    command: async (...words) => {
      const child = spawn(program('runyard'), [...words, '--data', data], { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
      await ended(child);
      if (child.exitCode !== 0) throw new Error(`${words.join(' ')}: ${said}`);
      return said;
    },
    /** Writes an agent's file and waits until the server has read it. @param {string} type @param {string} text */
    agent: async (type, text) => {
      writeFileSync(join(data, 'agents', `${type}.md`), text);
      await until(async () => {
        const { agents, broken } = await call('GET', '');
        return [...agents, ...broken].some((/** @type {{ agent_type: string }} */ agent) => agent.agent_type === type);
      }, `the server knows ${type}`);
    },
  };
}

/**
 * A server as a newcomer starts it: `--demo`, no configuration, the built-in stand-in for a model. `link` is what it prints.
 */
export async function startDemo() {
  const folder = mkdtempSync(join(tmpdir(), 'runyard-demo-'));
  const child = spawn(program('runyard'), ['serve', '--demo', '--listen', '127.0.0.1:0', '--data', join(folder, 'data')], {
    cwd: folder,
    stdio: ['ignore', 'pipe', process.env.RUNYARD_E2E_LOG ? 'inherit' : 'ignore'],
    env: { PATH: process.env.PATH, HOME: folder, RUNYARD_DETECT: 'false' },
  });
  closers.add(async () => {
    child.kill('SIGKILL');
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  });
  const link = await line(child.stdout, /http\S+#ticket=\S+/);
  return { url: new URL(link).origin, link };
}

/** Waits for something outside the page, which cannot be awaited otherwise. @param {() => Promise<boolean> | boolean} holds @param {string} what */
export async function until(holds, what) {
  const deadline = Date.now() + START_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A browser without a window. */
export async function startBrowser() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    throw new Error(`${executablePath} is missing; install Chromium (apt-get install chromium) or set CHROMIUM`);
  }
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  closers.add(() => browser.close());
  return browser;
}
