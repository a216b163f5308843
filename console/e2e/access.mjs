import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { until } from './programs.mjs';
import { visit } from './visitor.mjs';
import { browser, makeThread, play, reply, server, startRun, test, words } from './world.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * Looks for what hinders people, as axe knows it; evaluated over the debugger, which the page's policy does not bind.
 * @param {import('playwright-core').Page} page @param {string} what
 */
async function check(page, what) {
  const found = await page.evaluate(async () => {
    const axe = /** @type {any} */ (window).axe;
    const { violations } = await axe.run(document, { resultTypes: ['violations'] });
    return violations.flatMap((/** @type {any} */ violation) =>
      violation.nodes.map((/** @type {any} */ node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ''}`),
    );
  });
  assert.deepEqual(found, [], what);
}

/** Nothing may be wider than the window. @param {import('playwright-core').Page} page @param {string} what */
async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const main = document.querySelector('main');
    return [document.documentElement.scrollWidth - innerWidth, main ? main.scrollWidth - main.clientWidth : 0];
  });
  assert.ok(wide.every((more) => more <= 0), `${what} is wider than the window by ${wide}`);
}

/** A call approved from now on without asking, so that there is a grant to see. */
async function remember() {
  const first = await startRun(await makeThread('deployment_advisor'), 'Please roll out once, and from then on by yourself.');
  await until(async () => (await server.call('GET', `/runs/${first.id}`)).status === 'awaiting_approval', 'the run waits');
  const { approvals } = await server.call('GET', `/approvals?run_id=${first.id}`);
  await server.call('POST', `/approvals/${approvals[0].id}/resolve`, { decision: 'approve', remember: { predicate: 'args.environment == "staging"', uses: 3 } });
  await server.call('GET', `/runs/${first.id}/events`);
}

let thread = '';
let run = '';

/**
 * Every page, and what tells that it is there.
 * @param {import('playwright-core').Page} page @returns {[string, import('playwright-core').Locator][]}
 */
function pages(page) {
  return [
    ['/console/threads', page.getByRole('heading', { name: 'Threads' })],
    ['/console/threads/new', page.getByRole('heading', { name: 'New conversation' })],
    [`/console/threads/${thread}`, page.getByRole('button', { name: 'Approve' })],
    ['/console/runs', page.getByRole('link', { name: /Deployment advisor/ }).first()],
    [`/console/runs/${run}`, page.getByRole('heading', { name: 'Timeline' })],
    ['/console/approvals', page.getByRole('button', { name: 'Approve' }).first()],
    ['/console/agents', page.locator('#agent-field_guide')],
    ['/console/sessions', page.getByRole('link', { name: /Which model fits/ })],
    ['/console/lanes', page.getByRole('article', { name: 'near' })],
    ['/console/grants', page.getByRole('article').first()],
    ['/console/audit', page.getByText('The record ends with entry')],
    ['/console/usage', page.getByRole('heading', { name: 'Failed runs' })],
    ['/console/keys', page.getByRole('button', { name: 'New key' })],
    ['/console/keys/nothing', page.getByRole('heading', { name: 'There is no such page' })],
  ];
}

test('there is something to look at', async () => {
  await play([
    { when: { tool_result: true }, reply: reply(words('Done.')) },
    { when: { last_user: 'from then on' }, reply: reply({ tool_call: { name: 'create_deployment', arguments: { model_id: 'qwen2.5-7b', device_group: 'store-edge', environment: 'staging' } } }) },
    {
      when: { last_user: 'roll' },
      reply: reply(
        { reasoning: ['Look first.'] },
        { text: ['Two are **behind**.\n\n| Device | Runs |\n|---|--:|\n| kiosk-07 | 1.2 |\n\n```\ncode\n```\n\n[notes](https://example.com)'] },
        { tool_call: { name: 'create_deployment', arguments: { model_id: 'a-rather-long-model-name-that-must-not-make-the-page-wider-than-it-is', device_group: 'store-edge', environment: 'production' } } },
      ),
    },
  ]);
  await remember();
  thread = await makeThread('deployment_advisor');
  run = (await startRun(thread, 'Please roll out to the pilot devices.')).id;
  await server.call('POST', '/sessions', { agent_type: 'deployment_advisor', query: 'Which model fits?', context: {}, client: { platform: 'android', memory_mb: 8192, models: ['phi-4-mini'], accelerators: ['npu'] } });
  await server.agent('not_right', 'no front matter');
  const { page, leave, go } = await visit(browser, server);
  await go(`/console/runs/${run}`);
  await page.getByRole('button', { name: 'Approve' }).waitFor();
  await leave();
});

for (const scheme of /** @type {const} */ (['light', 'dark'])) {
  for (const width of [1280, 390]) {
    test(`every page is for everybody: ${scheme}, ${width} wide`, async () => {
      const out = await visit(browser, server, { key: null, scheme, width });
      await out.page.evaluate(AXE);
      await check(out.page, 'sign-in');
      await out.leave();
      const { page, leave } = await visit(browser, server, { scheme, width });
      await page.evaluate(AXE);
      for (const [path, sign] of pages(page)) {
        // Within the page, as its links do: a fresh load each time would be most of the test.
        await page.evaluate((to) => {
          history.pushState(null, '', to);
          dispatchEvent(new PopStateEvent('popstate'));
        }, path);
        await sign.waitFor();
        await check(page, `${path}, ${scheme}, ${width}`);
        await fits(page, `${path}, ${width}`);
      }
      await leave();
    });
  }
}

test('no page jumps while its answers come in', async () => {
  for (const width of [1280, 390]) {
    const { page, go, leave } = await visit(browser, server, { width });
    await page.addInitScript(() => {
      Object.assign(window, { jumped: 0 });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) Object.assign(window, { jumped: Reflect.get(window, 'jumped') + Reflect.get(entry, 'value') });
      }).observe({ type: 'layout-shift', buffered: true });
    });
    // One answer after the other, so that each is a frame of its own.
    let asked = 0;
    await page.route('**/api/**', async (route) => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 35 * asked));
      await route.continue();
    });
    for (const [path, sign] of pages(page)) {
      asked = 0;
      await go(path);
      await sign.waitFor();
      await page.waitForTimeout(35 * asked + 100);
      const jumped = await page.evaluate(() => Reflect.get(window, 'jumped'));
      assert.ok(jumped < 0.05, `${path}, ${width} wide, shifts its layout by ${jumped}; 0.1 is called good`);
    }
    await leave();
  }
});

test('the whole way with the keyboard alone', async () => {
  await play([{ when: { last_user: 'keys' }, reply: reply(words('Typed, not clicked.')) }]);
  const { page, leave } = await visit(browser, server, { key: null });
  await page.keyboard.press('Tab');
  await page.keyboard.type('ry_console_tests_owner_key_0123456789');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'New conversation' }).waitFor();
  await page.getByRole('textbox', { name: /^Message/ }).waitFor();
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const here = await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? '');
    if (here.startsWith('Message')) break;
  }
  await page.keyboard.type('keys only');
  await page.keyboard.press('Enter');
  await page.getByRole('log').getByText('Typed, not clicked.').waitFor();
  await leave();
});
