import assert from 'node:assert/strict';
import { visit } from './visitor.mjs';
import { browser, makeThread, play, reply, server, startRun, test, words } from './world.mjs';

const AGENT = `---
agent_type: teller
name: Teller
tools: [current_time]
approvals:
  current_time: ask
---
Tell the time.
`;
await server.agent('teller', AGENT);

/** A script in which the teller asks for the time and then says what it was told. */
async function ask(args = {}) {
  await play(
    [
      { when: { tool_result: true }, reply: reply(words('The tool said: '), { echo: 'tool_result' }) },
      { when: { last_user: 'time' }, reply: reply(words('Let me look.'), { tool_call: { name: 'current_time', arguments: args } }) },
    ],
  );
}

/** @returns {Promise<{ thread: string, run: any }>} */
async function waiting() {
  const thread = await makeThread('teller');
  const run = await startRun(thread, 'What time is it?');
  return { thread, run };
}

test('a call is approved by keyboard in a second browser, and the first one sees it', async () => {
  await ask();
  const asking = await visit(browser, server);
  await asking.go(`/console/threads/${await makeThread('teller')}`);
  await asking.say('What time is it?');
  const { secret } = await server.call('POST', '/keys', { name: 'ann', role: 'approver' });
  const deciding = await visit(browser, server, { key: secret });
  await deciding.page.getByRole('link', { name: /Approvals/ }).click();
  await deciding.page.getByRole('article', { name: 'Teller wants to call current_time' }).waitFor();
  await deciding.page.waitForFunction(() => document.title.startsWith('(1) Approvals'));
  await deciding.page.keyboard.press('j');
  await deciding.page.keyboard.press('a');
  await deciding.page.getByText('current_time: approved').waitFor();
  await deciding.page.getByText('Nothing waits for you').waitFor();
  await deciding.page.waitForFunction(() => document.title.startsWith('Approvals'));
  await asking.page.getByText('approved by ann').waitFor();
  await asking.page.getByRole('log').getByText('The tool said:').waitFor();
  await asking.page.locator('[data-call] summary').first().click();
  assert.match(await asking.page.getByRole('group', { name: 'Result of current_time' }).innerText(), /20\d\d-/);
  await asking.leave();
  await deciding.leave();
});

test('a call is denied with a reason that the model is told', async () => {
  await ask();
  const { thread } = await waiting();
  const { page, go, leave } = await visit(browser, server);
  await go('/console/approvals');
  await page.getByRole('article').first().focus();
  await page.keyboard.press('d');
  await page.keyboard.type('not on a Sunday');
  await page.keyboard.press('Control+Enter');
  await page.getByText('current_time: denied').waitFor();
  await page.getByRole('button', { name: 'Decided' }).click();
  await page.getByText('not on a Sunday').first().waitFor();
  await go(`/console/threads/${thread}`);
  await page.getByRole('log').getByText(/The tool said:.*not on a Sunday/).waitFor();
  await leave();
});

test('arguments are shown complete, edited, and refused by the schema', async () => {
  const sly = { model_id: 'qwen2.5-7b', device_group: 'store-\u202eedge\u202c\u200b', environment: 'production', percent: 10 };
  await play([
    { when: { tool_result: true }, reply: reply(words('The tool said: '), { echo: 'tool_result' }) },
    { when: { last_user: 'roll' }, reply: reply({ tool_call: { name: 'create_deployment', arguments: sly } }) },
  ]);
  const run = await startRun(await makeThread('deployment_advisor'), 'Please roll it out.');
  const { page, go, leave } = await visit(browser, server);
  await go('/console/approvals');
  const card = page.getByRole('article', { name: 'Deployment advisor wants to call create_deployment' });
  const shown = await card.getByRole('group', { name: 'Arguments of create_deployment' }).innerText();
  assert.match(shown, /"store-\\u202eedge\\u202c\\u200b"/);
  await card.getByText('The tool and what it takes').click();
  assert.match(await card.getByRole('group', { name: 'Schema of create_deployment' }).innerText(), /device_group/);
  await card.getByText('What led to it').click();
  await card.getByText('Please roll it out.').waitFor();
  await card.focus();
  await page.keyboard.press('e');
  const box = card.getByLabel('Arguments to run instead');
  assert.deepEqual(JSON.parse(await box.inputValue()), sly);
  await box.fill('{"model_id": ');
  await card.getByText(/line 1, column/).waitFor();
  assert.equal(await card.getByRole('button', { name: 'Approve as edited' }).isDisabled(), true);
  await box.fill('{"model_id": "qwen2.5-7b", "percent": 5}');
  await card.getByRole('button', { name: 'Approve as edited' }).click();
  await card.getByRole('alert').getByText(/device_group/).waitFor();
  await box.fill('{"model_id": "qwen2.5-7b", "device_group": "store-edge", "environment": "staging", "percent": 5}');
  await page.keyboard.press('Control+Enter');
  await page.getByText('create_deployment: approved').waitFor();
  await server.call('GET', `/runs/${run.id}/events`);
  const { steps } = await server.call('GET', `/runs/${run.id}`);
  const call = steps.find((/** @type {any} */ step) => step.kind === 'tool_call');
  const { percent, device_group } = JSON.parse(call.output).result;
  assert.deepEqual({ percent, device_group }, { percent: 5, device_group: 'store-edge' });
  await leave();
});

test('who comes second is told who was faster', async () => {
  await ask();
  const { run } = await waiting();
  const { page, go, leave } = await visit(browser, server);
  // This page hears of nothing that happens after it was opened.
  await page.route('**/approvals/stream', (route) => route.abort());
  await go('/console/approvals');
  const card = page.getByRole('article').first();
  await card.waitFor();
  const { secret } = await server.call('POST', '/keys', { name: 'quick bob', role: 'approver' });
  const id = await card.getAttribute('data-approval');
  await server.call('POST', `/approvals/${id}/resolve`, { decision: 'deny' }, secret);
  await card.getByRole('button', { name: 'Approve' }).click();
  await page.getByText('quick bob was faster: current_time is denied.').waitFor();
  await server.call('GET', `/runs/${run.id}/events`);
  await leave();
});

test('a call is decided in the conversation itself', async () => {
  await ask();
  const { page, go, say, leave } = await visit(browser, server);
  await go(`/console/threads/${await makeThread('teller')}`);
  await say('What time is it?');
  await page.locator('[data-call] summary').first().click();
  await page.getByRole('article').getByRole('button', { name: 'Approve' }).click();
  await page.getByRole('log').getByText('The tool said:').waitFor();
  await page.getByRole('button', { name: 'Ask again' }).waitFor();
  assert.equal(await page.getByRole('article').count(), 0);
  assert.equal(await page.locator('[data-call] details').first().getAttribute('open'), '', 'what was unfolded stays so');
  await leave();
});

test('an approval outlives a restart under an open inbox', async () => {
  await ask();
  const { run } = await waiting();
  const { page, go, leave } = await visit(browser, server);
  await go('/console/approvals');
  await page.getByRole('article').first().waitFor();
  await server.kill();
  await server.start();
  await page.getByRole('article').first().getByRole('button', { name: 'Approve' }).click();
  await page.getByText('current_time: approved').waitFor();
  await server.call('GET', `/runs/${run.id}/events`);
  assert.equal((await server.call('GET', `/runs/${run.id}`)).status, 'completed');
  await leave();
});

test('an approval is remembered, shown among the grants and revoked', async () => {
  const change = { model_id: 'qwen2.5-7b', device_group: 'store-edge', environment: 'staging', percent: 5 };
  await play([
    { when: { tool_result: true }, reply: reply(words('Rolled out.')) },
    { when: { last_user: 'roll' }, reply: reply({ tool_call: { name: 'create_deployment', arguments: change } }) },
  ]);
  await startRun(await makeThread('deployment_advisor'), 'Please roll it out.');
  const { page, go, leave } = await visit(browser, server);
  await go('/console/approvals');
  const card = page.getByRole('article', { name: 'Deployment advisor wants to call create_deployment' });
  // The proposal comes late: what was written meanwhile stands.
  let propose = () => {};
  const written = new Promise((resolve) => (propose = () => resolve(undefined)));
  await page.route(/\/approvals\/[0-9a-f-]+$/, async (route) => {
    await written;
    await route.continue();
  });
  await card.focus();
  await page.keyboard.press('r');
  await card.getByLabel('Only where').fill('args.environment == "staging"');
  await card.getByLabel('Calls at most').fill('3');
  propose();
  await card.getByText('Write a rule over').waitFor();
  assert.equal(await card.getByLabel('Only where').inputValue(), 'args.environment == "staging"');
  await card.getByRole('button', { name: 'Approve and remember' }).click();
  await page.getByText('create_deployment: approved, and remembered').waitFor();
  const again = await startRun(await makeThread('deployment_advisor'), 'Please roll it out again.');
  await server.call('GET', `/runs/${again.id}/events`);
  assert.equal((await server.call('GET', `/runs/${again.id}`)).status, 'completed', 'nobody was asked');
  await go('/console/grants');
  const grant = page.getByRole('article', { name: 'Deployment advisor may call create_deployment' });
  await grant.getByText(/1 of 3 calls used/).waitFor();
  await grant.getByText('What it let through').click();
  await grant.getByRole('link', { name: /Run, step/ }).waitFor();
  await grant.getByRole('button', { name: 'Revoke…' }).click();
  await grant.getByRole('button', { name: 'Revoke', exact: true }).click();
  await grant.getByText('revoked', { exact: true }).waitFor();
  await leave();
});
