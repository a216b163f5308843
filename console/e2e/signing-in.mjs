import assert from 'node:assert/strict';
import { OWNER_KEY } from './programs.mjs';
import { visit } from './visitor.mjs';
import { browser, server, test } from './world.mjs';

test('a wrong key is told, and the right one stays in this tab alone', async () => {
  const { page, context, leave } = await visit(browser, server, { key: null });
  assert.match(await page.title(), /^Sign in/);
  await page.getByLabel('API key').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('unknown, expired or revoked').waitFor();
  await page.getByLabel('API key').fill(OWNER_KEY);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('owner', { exact: false }).first().waitFor();
  await page.getByRole('heading', { name: 'Threads' }).waitFor();

  const kept = await page.evaluate(() => [JSON.stringify({ ...localStorage }), document.cookie, JSON.stringify({ ...sessionStorage })]);
  assert.equal(kept[0]?.includes(OWNER_KEY), false);
  assert.equal(kept[1], '');
  assert.equal(kept[2]?.includes(OWNER_KEY), true);
  const other = await context.newPage();
  await other.goto(server.url);
  await other.getByLabel('API key').waitFor();
  await other.close();

  await page.reload();
  await page.getByRole('heading', { name: 'Threads' }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('API key').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await leave();
});

test('a role is offered what it may do', async () => {
  const { secret } = await server.call('POST', '/keys', { name: 'onlooker', role: 'viewer' });
  const { page, leave } = await visit(browser, server, { key: secret });
  await page.getByText('onlooker · viewer').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Keys' }).count(), 0);
  assert.equal(await page.getByRole('link', { name: 'New', exact: true }).count(), 0);
  assert.equal(await page.getByRole('textbox', { name: /^Message/ }).count(), 0);
  await leave();
});

test('a key that is revoked ends the visit', async () => {
  const { secret, id } = await server.call('POST', '/keys', { name: 'short', role: 'viewer' });
  const { page, leave } = await visit(browser, server, { key: secret });
  await server.call('DELETE', `/keys/${id}`);
  await page.getByText('This key is no longer valid').waitFor();
  await leave();
});

test('paths that are not the console’s stay the API’s', async () => {
  const get = (/** @type {string} */ path, accept = 'text/html') => fetch(server.url + path, { headers: { Accept: accept } });
  for (const path of ['/nothing', '/api/v1/agents/nothing', '/threads', '/console/nothing', '/console/assets/no.js']) {
    const response = await get(path);
    assert.equal(response.status, 404, path);
    assert.match(response.headers.get('content-type') ?? '', /application\/json/, path);
  }
  assert.match(await (await get('/')).text(), /<title>Runyard<\/title>/);
  assert.equal((await (await get('/', '*/*')).json()).api, '/api/v1/agents');
  assert.match(await (await get('/console/runs/some-id')).text(), /<title>Runyard<\/title>/);
});
