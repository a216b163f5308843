// Pictures of every page, light and dark, on a phone and at a desk, with a server that has seen some work. Four of them go,
// small, into docs/images/.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './programs.mjs';
import { visit } from './visitor.mjs';
import { browser, play, reply, server, startRun, words } from './world.mjs';

const folder = process.env.SCREENSHOTS ?? join(import.meta.dirname ?? '.', '../screenshots');
mkdirSync(folder, { recursive: true });
const docs = join(import.meta.dirname ?? '.', '../../docs/images');
mkdirSync(docs, { recursive: true });
/** Which pictures the documentation shows. */
const SHOWN = ['conversation-desk-light', 'run-desk-light', 'approvals-desk-dark', 'usage-desk-light'];

const REPORT = `Two of twelve devices are **behind**: \`dev-07\` and \`dev-11\`.

| Device | Platform | Memory | Runs |
|---|---|--:|---|
| dev-07 | android | 6144 MB | qwen2.5-3b |
| dev-11 | linux | 8192 MB | llama-3.2-3b |

I would begin small:

1. 10% of \`store-edge\` in *staging*, as a canary,
2. an hour of watching the error rate,
3. then production.

> Above 2% errors I pause the rollout and say so.
`;
const CHANGE = { model_id: 'qwen2.5-7b', device_group: 'store-edge', environment: 'staging', channel: 'canary', percent: 10 };

// First of all what a newcomer sees.
for (const [size, width, height, scale, scheme] of /** @type {const} */ ([['desk', 1280, 860, 1, 'light'], ['phone', 390, 844, 2, 'dark']])) {
  const { page, go, leave } = await visit(browser, server, { scheme, width, height, scale });
  for (const [name, sign] of [['threads', 'No conversation'], ['runs', 'No runs yet'], ['approvals', 'Nothing waits'], ['sessions', 'No device'], ['usage', 'Nothing'], ['grants', 'Nothing is remembered'], ['audit', 'The record ends']]) {
    await go(`/console/${name}`);
    await page.getByText(sign ?? '').filter({ visible: true }).first().waitFor({ timeout: 3000 }).catch(() => console.log(`${name} does not say "${sign}"`));
    await page.screenshot({ path: join(folder, `empty-${name}-${size}-${scheme}.png`) });
  }
  await leave();
}

await play([
  { when: { tool_result_text: 'unix_s' }, times: 1, reply: { ...reply(words('It is a quarter')), faults: { cut: { at: { chunk: 3 } } } } },
  { when: { tool_result_text: 'unix_s' }, reply: { ...reply(words('It is a quarter past six in the evening.')), pace: { first_byte_ms: 120, between_ms: 15 } } },
  { when: { tool_result: true }, reply: { ...reply({ reasoning: ['I have the devices. ', 'Two are behind; the rest is fine.'] }, { text: REPORT.match(/[\s\S]{1,9}/g) }), pace: { first_byte_ms: 80, between_ms: 3 } } },
  { when: { last_user: 'behind' }, reply: reply({ reasoning: ['I should look at the fleet before I speak.'] }, { tool_call: { name: 'list_devices', arguments: { device_group: 'store-edge' } } }) },
  { when: { last_user: 'Good' }, reply: reply(words('I begin with a canary on a tenth of the store devices, in staging.'), { tool_call: { name: 'create_deployment', arguments: CHANGE } }) },
  { when: { last_user: 'pause' }, reply: reply({ tool_call: { name: 'pause_deployment', arguments: { deployment_id: 'dep-1004' } } }) },
  { when: { last_user: 'small model' }, reply: reply({ tool_call: { name: 'create_deployment', arguments: { ...CHANGE, model_id: 'qwen2.5-3b', percent: 5 } } }) },
  { when: { last_user: 'large model' }, reply: reply({ tool_call: { name: 'create_deployment', arguments: CHANGE } }) },
  { when: { last_user: 'time' }, reply: reply({ tool_call: { name: 'current_time', arguments: { utc_offset: '+01:00' } } }) },
  { when: { last_user: 'bird' }, reply: reply(words('A robin, most likely: bold, grey-backed, and fond of diggers.')) },
  { when: { last_user: 'fail' }, reply: { error: { kind: 'auth' } } },
]);
await server.agent('clock', '---\nagent_type: clock\nname: Clock\ndescription: Tells the time, here and elsewhere.\ntools: [current_time]\n---\nTell the time.\n');

/** @param {string} agent @param {string[]} inputs @returns {Promise<{ thread: string, run: string }>} */
async function talk(agent, ...inputs) {
  const title = inputs[0]?.replace(/^Please (\w)/, (_, first) => first.toUpperCase());
  const thread = (await server.call('POST', '/threads', { agent_type: agent, title })).id;
  let run = '';
  for (const input of inputs) {
    run = (await startRun(thread, input)).id;
    await server.call('GET', `/runs/${run}/events?follow=${input === inputs.at(-1) && agent === 'deployment_advisor' ? 'false' : 'true'}`);
  }
  return { thread, run };
}

await talk('field_guide', 'A small grey bird with a red chest sat on my spade.');
await talk('field_guide', 'Please fail once, for the picture.');
const clock = await talk('clock', 'What time is it?');
await talk('deployment_advisor', 'Please pause whatever is failing.');
const advisor = await talk('deployment_advisor', 'Which devices are behind, and what should they run?', 'Good. Do it.');
// An approval that is remembered, and the next call that it lets through.
const tried = await talk('deployment_advisor', 'Please try the small model in staging.');
await until(async () => (await server.call('GET', `/runs/${tried.run}`)).status === 'awaiting_approval', 'the run waits');
const { approvals } = await server.call('GET', `/approvals?run_id=${tried.run}`);
await server.call('POST', `/approvals/${approvals[0].id}/resolve`, { decision: 'approve', remember: { predicate: 'args.environment == "staging" && args.percent <= 10', uses: 5 } });
await talk('deployment_advisor', 'Please try the large model in staging too.');
await server.call('POST', '/keys', { name: 'nightly build', role: 'developer', ttl_s: 30 * 86_400 });
await server.call('POST', '/keys', { name: 'ann, on call', role: 'approver' });
await server.call('POST', '/sessions', { agent_type: 'deployment_advisor', query: 'Which model fits the Pixel 9?', context: {}, client: { platform: 'android', memory_mb: 8192, models: ['phi-4-mini'], accelerators: ['npu'] } });
await server.agent('billing', '---\nname: Billing\nmodle: gpt-5-mini\n---\nHelp with invoices.\n');

for (const scheme of /** @type {const} */ (['light', 'dark'])) {
  for (const [size, width, height, scale] of /** @type {const} */ ([['desk', 1280, 860, 1], ['phone', 390, 844, 2]])) {
    const out = await visit(browser, server, { key: null, scheme, width, height, scale });
    await out.page.screenshot({ path: join(folder, `sign-in-${size}-${scheme}.png`) });
    await out.leave();
    const { page, go, leave } = await visit(browser, server, { scheme, width, height, scale });
    /** @param {string} name @param {string} path @param {string} sign */
    const picture = async (name, path, sign) => {
      await go(path);
      await page.getByText(sign).filter({ visible: true }).first().waitFor();
      if (name === 'conversation') await page.locator('[role="log"]').evaluate((log) => log.parentElement?.scrollTo(0, 0));
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      await page.screenshot({ path: join(folder, `${name}-${size}-${scheme}.png`) });
      if (!SHOWN.includes(`${name}-${size}-${scheme}`)) return;
      const client = await page.context().newCDPSession(page);
      const { data } = await client.send('Page.captureScreenshot', { format: 'webp', quality: 82 });
      writeFileSync(join(docs, `${name}.webp`), Buffer.from(data, 'base64'));
      await client.detach();
    };
    await picture('threads', '/console/threads', 'Deployment advisor');
    await picture('new', '/console/threads/new', 'New conversation');
    await picture('conversation', `/console/threads/${advisor.thread}`, 'Approve');
    await picture('waiting', `/console/threads/${advisor.thread}`, 'Approve');
    await picture('runs', '/console/runs', 'awaiting approval');
    await picture('run', `/console/runs/${clock.run}`, 'Timeline');
    await picture('run-waiting', `/console/runs/${advisor.run}`, 'Timeline');
    await picture('approvals', '/console/approvals', 'Approve');
    await picture('agents', '/console/agents', 'Billing'.toLowerCase());
    await picture('sessions', '/console/sessions', 'android');
    await picture('grants', '/console/grants', 'What it let through');
    await picture('audit', '/console/audit', 'The record ends with');
    await picture('lanes', '/console/lanes', 'openai-chat');
    await picture('usage', '/console/usage', 'Failed runs');
    await picture('keys', '/console/keys', 'ann, on call');
    await picture('docs', '/docs', 'A first look');
    await picture('reference', '/docs/configuration', 'Nothing needs to be configured');
    // Some of it unfolded.
    await go('/console/grants');
    await page.getByText('What it let through').click();
    await page.getByRole('link', { name: /Run, step/ }).first().waitFor();
    await page.screenshot({ path: join(folder, `grants-open-${size}-${scheme}.png`) });
    await go('/console/audit');
    await page.locator('details summary').nth(1).click();
    await page.screenshot({ path: join(folder, `audit-open-${size}-${scheme}.png`) });
    await go(`/console/runs/${clock.run}`);
    await page.locator('details[data-step] summary').nth(1).click();
    await page.getByRole('button', { name: 'Show the events' }).click();
    await page.getByText('run_created', { exact: true }).waitFor();
    await page.screenshot({ path: join(folder, `run-open-${size}-${scheme}.png`) });
    await go('/console/approvals');
    await page.getByRole('button', { name: 'Remember…' }).first().click();
    await page.screenshot({ path: join(folder, `remember-${size}-${scheme}.png`) });
    await go('/console/keys');
    await page.getByRole('button', { name: 'New key' }).click();
    await page.screenshot({ path: join(folder, `new-key-${size}-${scheme}.png`) });
    if (size === 'phone') {
      await go('/console/agents');
      await page.getByRole('button', { name: 'More' }).click();
      await page.screenshot({ path: join(folder, `more-${size}-${scheme}.png`) });
    }
    await leave();
  }
}
console.log(`pictures are in ${folder}`);
