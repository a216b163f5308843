import assert from 'node:assert/strict';
import { startDemo } from './programs.mjs';
import { visit } from './visitor.mjs';
import { browser, test } from './world.mjs';

test('the printed link leads to the first approved change', async () => {
  const demo = await startDemo();
  const { page, leave } = await visit(browser, demo, { key: null });
  await page.goto(demo.link);
  const log = page.getByRole('log');
  await log.getByText('Which rollouts are failing').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'the ticket leaves the address bar');
  await page.getByRole('button', { name: 'Pause whatever is failing and tell me why.' }).click();
  await page.waitForFunction(() => document.title.startsWith('(1)'), undefined, { timeout: 60_000 });
  await page.getByRole('link', { name: /Approvals/ }).click();
  const card = page.getByRole('article', { name: 'Deployment advisor wants to call pause_deployment' });
  await card.getByRole('button', { name: 'Approve' }).click();
  await page.getByText('pause_deployment: approved').waitFor();
  await page.getByRole('link', { name: 'Threads' }).first().click();
  await page.getByRole('navigation', { name: 'Threads' }).getByRole('link').first().click();
  await log.getByText(/paused/).last().waitFor();
  await leave();

  const late = await visit(browser, demo, { key: null });
  await late.page.goto(demo.link);
  await late.page.getByText('The sign-in link was used before').waitFor();
  await late.page.getByLabel('API key').waitFor();
  await late.leave();
});
