// A person at a browser: a context of its own, signed in or not, whose every request and complaint is kept.
import assert from 'node:assert/strict';
import { OWNER_KEY } from './programs.mjs';

/**
 * @param {import('playwright-core').Browser} browser
 * @param {{ url: string }} server
 * @param {{ key?: string | null, width?: number, height?: number, scheme?: 'light' | 'dark', scale?: number }} [options]
 */
export async function visit(browser, server, options = {}) {
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1280, height: options.height ?? 860 },
    colorScheme: options.scheme ?? 'light',
    deviceScaleFactor: options.scale ?? 1,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(45_000);
  /** @type {string[]} */
  const complaints = [];
  /** @type {string[]} */
  const requests = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A refused connection is told by the browser itself, and tests cut connections.
    if (['error', 'warning'].includes(message.type()) && !/Failed to load resource|net::ERR_/.test(message.text())) {
      complaints.push(message.text());
    }
  });
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(server.url);
  const key = options.key === undefined ? OWNER_KEY : options.key;
  if (key !== null) {
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('navigation', { name: 'Console' }).waitFor();
  }
  return {
    page,
    context,
    requests,
    /** @param {string} path */
    go: (path) => page.goto(`${server.url}${path}`),
    /** Sends a message in the conversation in view. @param {string} text */
    say: async (text) => {
      const box = page.getByRole('textbox', { name: /^Message/ });
      await box.fill(text);
      await box.press('Enter');
    },
    /** Nothing was fetched from elsewhere, and the browser had nothing to complain of, such as a broken policy. */
    leave: async () => {
      await context.close();
      assert.deepEqual(complaints, []);
      const elsewhere = requests.filter((url) => !url.startsWith(server.url));
      assert.deepEqual(elsewhere, []);
    },
  };
}

/**
 * The text of the answers in view, one for each message.
 * @param {import('playwright-core').Page} page
 */
export function answers(page) {
  // Not the inner texts: of what is far out of view the browser lays nothing out, and tells none.
  return page.locator('[data-role="assistant"] .markdown').allTextContents();
}

/**
 * Seconds of processor time that the page's own thread spends meanwhile: other than a clock's, the same on a busy machine.
 * @param {import('playwright-core').Page} page @param {() => Promise<unknown>} work
 */
export async function processorTime(page, work) {
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable', { timeDomain: 'threadTicks' });
  const spent = async () => {
    const { metrics } = await client.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0;
  };
  const before = await spent();
  await work();
  const time = (await spent()) - before;
  await client.detach();
  return time;
}
