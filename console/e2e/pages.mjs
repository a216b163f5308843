import assert from 'node:assert/strict';
import { visit } from './visitor.mjs';
import { browser, makeThread, model, play, reply, server, startRun, test, words } from './world.mjs';

test('a run shows its steps, a failed attempt, its lane, tokens, cost and every event', async () => {
  await play([
    { when: { tool_result: true }, times: 1, reply: { ...reply(words('One two three')), faults: { cut: { at: { chunk: 2 } } } } },
    { when: { tool_result: true }, reply: reply(words('It is noon.')) },
    { when: { last_user: 'noon' }, reply: reply({ tool_call: { name: 'current_time', arguments: {} } }) },
  ]);
  await server.agent('clock', '---\nagent_type: clock\nname: Clock\ntools: [current_time]\n---\nTell the time.\n');
  const { page, go, leave } = await visit(browser, server);
  const thread = await makeThread('clock');
  const { id } = await startRun(thread, 'Is it noon?');
  await server.call('GET', `/runs/${id}/events`);
  await go('/console/runs');
  await page.getByRole('link', { name: /Clock/ }).first().click();
  await page.getByRole('heading', { name: 'Clock' }).waitFor();
  const steps = page.locator('details[data-step]');
  assert.equal(await steps.count(), 4);
  assert.match(await steps.nth(0).innerText(), /Model\s+scripted/);
  assert.match(await steps.nth(1).innerText(), /Tool\s+current_time/);
  assert.match(await steps.nth(2).innerText(), /failed/);
  assert.match(await steps.nth(3).innerText(), /attempt 2/);
  assert.equal(await page.locator('svg.track rect').count(), 4);
  await steps.nth(1).locator('summary').click();
  assert.match(await page.getByRole('group', { name: 'Output of step 1' }).innerText(), /20\d\d-/);
  assert.match(await page.locator('dl').innerText(), /Lane\s+near \(local\) – \S+/);
  assert.match(await page.locator('dl').innerText(), /Cost\s+\$0\.0\d+/);
  assert.match(await page.locator('dl').innerText(), /\d+ in · \d+ out/);
  const lanes = page.getByRole('list', { name: 'Lanes considered' }).getByRole('listitem');
  assert.deepEqual((await lanes.allInnerTexts()).map((text) => text.split(/\s+/, 3)), [['near', 'local', 'chosen'], ['far', 'cloud', 'ruled']]);
  await lanes.nth(1).getByText(/org/).waitFor();
  await page.getByRole('button', { name: 'Show the events' }).click();
  await page.getByText('turn_restarted', { exact: true }).waitFor();
  await page.getByText('run_created', { exact: true }).click();
  assert.match(await page.getByRole('group', { name: 'Event 1', exact: true }).innerText(), /"agent_type": "clock"/);
  await leave();
});

test('an open run is live, and cancelled from its page', async () => {
  await play([{ when: { last_user: 'wait' }, reply: reply(words('Wait '), { hold: 'forever' }) }]);
  const { page, go, leave } = await visit(browser, server);
  const { id } = await startRun(await makeThread(), 'wait');
  await go(`/console/runs/${id}`);
  await page.locator('rect.open').waitFor();
  await page.getByRole('button', { name: 'Cancel run' }).click();
  await page.locator('h1 + span').getByText('cancelled').waitFor();
  assert.equal(await page.locator('rect.open').count(), 0);
  await model.open('forever');
  await leave();
});

test('a run on hold says why it stands still, and one that was exported takes nothing', async () => {
  await play([{ when: { last_user: 'wait' }, reply: reply(words('Wait '), { hold: 'held' }) }]);
  const { page, go, leave } = await visit(browser, server);
  const { id } = await startRun(await makeThread(), 'wait');
  await server.command('runs', 'pause', id);
  await go(`/console/runs/${id}`);
  await page.getByRole('note').getByText(/^Paused since/).waitFor();
  await page.getByRole('button', { name: 'Cancel run' }).waitFor();
  await server.command('runs', 'export', id, '--to', 'run.json');
  await page.reload();
  await page.getByRole('note').getByText(/^Exported since/).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Cancel run' }).count(), 0);
  await server.command('runs', 'resume', id, '--still-here');
  await model.open('held');
  await page.reload();
  await page.locator('h1 + span').getByText('completed').waitFor();
  assert.equal(await page.getByRole('note').count(), 0);
  await leave();
});

test('an agent appears when its file is saved, and a broken file shows its error', async () => {
  const { page, go, leave } = await visit(browser, server);
  await go('/console/agents');
  await page.locator('#agent-deployment_advisor').waitFor();
  await server.agent('broken_one', '---\nname: Broken\nmodle: x\n---\nHello.\n');
  await page.getByText(/broken_one.md:3: unknown key `modle`/).waitFor();
  const advisor = page.locator('#agent-deployment_advisor');
  assert.match(await advisor.innerText(), /create_deployment\s+asks first\s+repeated with its key only/);
  assert.match(await advisor.innerText(), /list_devices\s+runs by itself/);
  await advisor.getByRole('link', { name: 'Talk to it' }).click();
  await page.getByRole('textbox', { name: 'Message Deployment advisor' }).waitFor();
  await leave();
});

test('an owner makes a key, uses it and revokes it', async () => {
  const { page, go, leave } = await visit(browser, server);
  await go('/console/keys');
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByLabel('Name').fill('the build');
  await page.getByLabel('Role').selectOption('viewer');
  await page.getByLabel('Expires').selectOption('30');
  await page.getByRole('button', { name: 'Make the key' }).click();
  const secret = await page.locator('.secret code').innerText();
  assert.equal((await server.call('GET', '/whoami', undefined, secret)).name, 'the build');
  await page.getByText(/viewer · made just now · expires in \d+ d · /).waitFor();
  await page.getByRole('button', { name: 'Revoke the build' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByText(/Revoked and expired \(\d+\)/).waitFor();
  await assert.rejects(server.call('GET', '/whoami', undefined, secret), /401/);
  await page.reload();
  await page.getByRole('heading', { name: 'Keys' }).waitFor();
  assert.equal((await page.content()).includes(secret), false);
  await leave();
});

test('back and forward move between pages, and a wrong address says so', async () => {
  const { page, go, leave } = await visit(browser, server);
  await page.getByRole('link', { name: 'Agents' }).click();
  await page.getByRole('link', { name: 'Runs' }).click();
  await page.goBack();
  await page.getByRole('heading', { name: 'Agents' }).waitFor();
  await page.goForward();
  await page.getByRole('heading', { name: 'Runs' }).waitFor();
  await go('/console/runs/0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11');
  await page.getByRole('alert').getByText('Nothing that this API key may see').waitFor();
  await go('/console/keys/what');
  await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
  await leave();
});

test('usage is plotted over time, by agent, lane or key', async () => {
  await play([{ when: { last_user: 'fail' }, reply: { error: { kind: 'auth' } } }], reply(words('Used up.')));
  const { secret } = await server.call('POST', '/keys', { name: 'usage tests', role: 'developer' });
  for (const question of ['count me', 'fail']) {
    const thread = await server.call('POST', '/threads', { agent_type: 'field_guide' }, secret);
    const run = await server.call('POST', `/threads/${thread.id}/runs`, { input: question, stream: false }, secret);
    await server.call('GET', `/runs/${run.id}/events`);
  }
  const { page, go, leave } = await visit(browser, server);
  await go('/console/usage');
  await page.getByRole('img', { name: 'Runs over the last 30 days', exact: true }).waitFor();
  await page.getByLabel('Told apart by').selectOption('key');
  const row = page.getByRole('group', { name: 'Sums' }).getByRole('row', { name: /usage tests/ });
  await row.waitFor();
  const [runs, failed, tokens, cost] = await row.getByRole('cell').allTextContents();
  assert.deepEqual([runs, failed], ['2', '1']);
  assert.ok(Number(tokens) > 0, tokens);
  assert.match(cost ?? '', /^\$0\.0/);
  await page.getByLabel('Told apart by').selectOption('lane');
  await page.getByRole('group', { name: 'Sums' }).getByRole('row', { name: /near/ }).waitFor();
  await page.getByLabel('Time').selectOption('24 hours');
  await page.getByRole('img', { name: 'Tokens over the last 24 hours' }).waitFor();
  await leave();
});

test('lanes show their health, traffic and latency', async () => {
  await play([], reply(words('Through the lane.')));
  const run = await startRun(await makeThread(), 'anything');
  await server.call('GET', `/runs/${run.id}/events`);
  const { page, go, leave } = await visit(browser, server);
  await go('/console/lanes');
  const lane = page.getByRole('article', { name: 'near' });
  await lane.getByText('openai-chat').waitFor();
  await lane.getByText('$1.00 in · $5.00 out').waitFor();
  const answered = await lane.getByText('Answered').locator('xpath=following-sibling::dd').innerText();
  assert.ok(Number(answered) > 0, answered);
  await leave();
});

test('sessions show the devices at work', async () => {
  const begin = { agent_type: 'deployment_advisor', query: 'Which model fits the Pixel 9?', context: {}, client: { platform: 'android', memory_mb: 8192, models: ['phi-4-mini'], accelerators: ['npu'] } };
  const { session_id } = await server.call('POST', '/sessions', begin);
  const { page, go, leave } = await visit(browser, server);
  await go('/console/sessions');
  const row = page.getByRole('link', { name: /Which model fits the Pixel 9/ });
  await row.getByText('android · 8 GB · npu').waitFor();
  await server.call('POST', `/sessions/${session_id}/complete`, { summary: 'Phi-4 mini fits.', confidence: 0.9, evidence: [], next_steps: [] });
  await page.getByText('No device is at work').waitFor();
  await page.getByRole('button', { name: 'All' }).click();
  await row.getByText('completed').waitFor();
  await row.click();
  await page.getByRole('heading', { name: 'Timeline' }).waitFor();
  await leave();
});

test('an owner reads the audit', async () => {
  const { id } = await server.call('POST', '/keys', { name: 'audited', role: 'viewer' });
  await server.call('DELETE', `/keys/${id}`);
  const { page, go, leave } = await visit(browser, server);
  await go('/console/audit');
  const entry = page.locator('details', { hasText: 'key.revoked' }).first();
  await entry.waitFor();
  await page.locator('details', { hasText: 'audited · viewer' }).first().waitFor();
  await entry.locator('summary').click();
  await entry.getByText(id).waitFor();
  await page.getByText(/The record ends with entry/).waitFor();
  await leave();
});
