// Many streams on one page: what they cost its thread, and how even its frames are. The page is the console's own parts,
// its own client and the real server; only that there are many of them is made for this.
import { createServer, request } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build } from 'vite';
import { OWNER_KEY } from './programs.mjs';
import { processorTime, visit } from './visitor.mjs';
import { browser, makeThread, model, play, server, startRun } from './world.mjs';

/** Connections that a browser opens to one place. */
const CONNECTIONS = 6;
const HERE = dirname(fileURLToPath(import.meta.url));

/** The built page by path. @returns {Promise<Map<string, { type: string, text: string }>>} */
async function built() {
  const made = await build({
    configFile: false,
    root: join(HERE, 'many'),
    logLevel: 'warn',
    plugins: [svelte({ configFile: join(HERE, '../svelte.config.js') })],
    build: { write: false, target: 'es2022', cssCodeSplit: false, rollupOptions: { input: join(HERE, 'many/main.ts') } },
  });
  if (!('output' in made)) throw new Error('Vite built something else than one page');
  const script = made.output.find((file) => file.type === 'chunk');
  const styles = made.output.find((file) => file.fileName.endsWith('.css'));
  if (script?.type !== 'chunk' || styles?.type !== 'asset') throw new Error('Vite built no page');
  const html = '<!doctype html><html lang="en"><title>Many</title><link rel="stylesheet" href="/many.css"><body><script type="module" src="/many.js"></script>';
  return new Map([
    ['/many', { type: 'text/html', text: html }],
    ['/many.css', { type: 'text/css', text: String(styles.source) }],
    ['/many.js', { type: 'text/javascript', text: script.code }],
  ]);
}

/**
 * Another place that leads to the server, as a proxy would, but for `files`.
 * @param {Map<string, { type: string, text: string }>} files @returns {Promise<{ url: string, close: () => void }>}
 */
function place(files) {
  const allowed = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Headers': '*, Authorization' };
  const forward = createServer((from, to) => {
    if (from.method === 'OPTIONS') {
      to.writeHead(204, allowed).end();
      return;
    }
    const file = files.get(from.url?.split('?')[0] ?? '');
    if (file) {
      to.writeHead(200, { 'Content-Type': file.type }).end(file.text);
      return;
    }
    // The server answers no page of another origin, which this is for the browser alone.
    const { host: _host, origin: _origin, ...headers } = from.headers;
    const onward = request(`${server.url}${from.url}`, { method: from.method, headers, agent: false }, (answer) => {
      to.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...allowed });
      answer.pipe(to);
    });
    onward.once('error', () => to.destroy());
    to.once('close', () => onward.destroy());
    from.pipe(onward);
  });
  return new Promise((resolve) => {
    forward.listen(0, '127.0.0.1', () => {
      const address = forward.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      resolve({
        url: `http://127.0.0.1:${port}`,
        close: () => {
          forward.closeAllConnections();
          forward.close();
        },
      });
    });
  });
}

/**
 * Lets a page follow `streams` runs at once, each with `rate` words a second for `seconds`.
 * @param {{ streams: number, rate: number, seconds: number, watchFrames?: boolean }} options
 * @returns {Promise<{ expected: string, texts: string[], share: number, frames: number[] }>} what each answer should say and what it
 * says in the page; the share of a core that the page's thread took; with `watchFrames`, which asks for every frame there can be and
 * so costs the page some itself, the times between frames in ms, sorted: on a busy machine they tell more of that than of the page
 */
export async function manyStreams({ streams, rate, seconds, watchFrames = false }) {
  const said = Array.from({ length: rate * seconds }, (_, at) => (at % 20 === 19 ? `**${at}**.\n\n` : `word${at} `));
  const gate = `many-${streams}-${rate}-${seconds}-${watchFrames}`;
  await play([], { parts: [{ hold: gate }, { text: said }, { text: ['The end.'] }], pace: { between_ms: Math.round(1000 / rate) } });
  const runs = await Promise.all(Array.from({ length: streams }, async () => (await startRun(await makeThread(), 'go')).id));
  const files = await built();
  const places = await Promise.all(Array.from({ length: Math.ceil(streams / CONNECTIONS) }, () => place(files)));
  const { page, context } = await visit(browser, server, { key: null });
  try {
    await page.addInitScript((key) => sessionStorage.setItem('runyard.key', key), OWNER_KEY);
    const asked = new URLSearchParams([...runs.map((id) => ['run', id]), ...places.map(({ url }) => ['place', url])]);
    await page.goto(`${places[0]?.url}/many?${asked}`);
    await page.waitForFunction((all) => document.querySelectorAll('section[data-run] footer').length === all, streams);
    await page.getByText('running').nth(streams - 1).waitFor();
    await page.evaluate((watches) => {
      /** @type {number[]} */
      const frames = [];
      Object.assign(window, { frameTimes: frames });
      if (!watches) return;
      let before = performance.now();
      const look = () => {
        const now = performance.now();
        frames.push(now - before);
        before = now;
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, watchFrames);
    const begun = performance.now();
    const busy = await processorTime(page, async () => {
      await model.open(gate);
      await page.waitForFunction(
        (all) => Array.from(document.querySelectorAll('[data-role="assistant"]')).filter((answer) => answer.textContent?.includes('The end.')).length === all,
        streams,
        { timeout: (seconds + 90) * 1000, polling: 500 },
      );
    });
    const wall = (performance.now() - begun) / 1000;
    const texts = await page.locator('[data-role="assistant"] .markdown').allTextContents();
    /** @type {number[]} */
    const frames = await page.evaluate(() => Reflect.get(window, 'frameTimes'));
    const expected = `${said.join('').replaceAll(/\*\*|\n/g, '')}The end.`;
    return { expected, texts, share: busy / wall, frames: frames.sort((a, b) => a - b) };
  } finally {
    await context.close();
    for (const { close } of places) close();
  }
}

/** What `percent` of the sorted values do not exceed. @param {number[]} sorted @param {number} percent */
export function percentile(sorted, percent) {
  return sorted[Math.min(Math.floor((sorted.length * percent) / 100), sorted.length - 1)] ?? 0;
}
