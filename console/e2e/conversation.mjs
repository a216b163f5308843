import assert from 'node:assert/strict';
import { longThread, scrollCost } from './long-thread.mjs';
import { answers, visit } from './visitor.mjs';
import { browser, makeThread, play, reply, server, startRun, test, words } from './world.mjs';

const MARKDOWN = `Three marks:

| Mark | Robin | Redstart |
|---|---|--:|
| chest | red | orange |

\`\`\`js
const spade = "<b>not bold</b>";
\`\`\`

1. wait
2. **listen**

Ask [the society](https://example.com/birds).`;

test('a conversation from the first word to its run', async () => {
  await play([{ when: { last_user: 'spade' }, reply: reply({ reasoning: ['Small, ', 'grey, bold.'] }, { text: MARKDOWN.match(/[\s\S]{1,7}/g) }) }]);
  const { page, say, leave } = await visit(browser, server);
  await page.getByRole('radiogroup').getByText('Field guide', { exact: true }).click();
  await page.getByRole('button', { name: /red chest sat on my spade/ }).click();
  await page.getByRole('textbox', { name: /^Message/ }).press('Enter');
  await page.getByRole('link', { name: 'the society', exact: true }).waitFor();

  assert.match(page.url(), /\/console\/threads\/[0-9a-f-]{36}$/);
  assert.equal(await page.locator('[data-role="user"]').innerText(), 'A small grey bird with a red chest sat on my spade and watched me dig.');
  assert.equal(await page.getByRole('cell', { name: 'orange' }).count(), 1);
  assert.match(await page.locator('pre code').innerText(), /<b>not bold<\/b>/);
  assert.equal(await page.locator('.markdown ol li strong').innerText(), 'listen');
  const link = page.getByRole('link', { name: 'the society', exact: true });
  assert.equal(await link.getAttribute('rel'), 'noopener noreferrer nofollow');
  assert.equal(await page.getByText('Small, grey, bold.').isVisible(), false, 'reasoning is folded');
  await page.getByText('Reasoning').click();
  assert.equal(await page.getByText('Small, grey, bold.').isVisible(), true);

  await page.getByText(/tokens/).waitFor();
  await say('And now?');
  await page.getByRole('log').getByText('Nothing to say.').waitFor();
  assert.equal(await page.locator('[data-role="user"]').count(), 2);

  // What the store tells is what the stream told.
  const told = await answers(page);
  await page.reload();
  await page.getByRole('log').getByText('Nothing to say.').waitFor();
  assert.deepEqual(await answers(page), told);
  await page.getByRole('navigation', { name: 'Threads' }).getByText('A small grey bird with a red chest').first().waitFor();
  await leave();
});

const HOSTILE = `<img src=x onerror="window.pwned=1"> <script>window.pwned=1</script>

<div onclick="window.pwned=1">

<svg onload=window.pwned=1>

[run](javascript:window.pwned=1) [data](data:text/html,<script>1</script>) [here](/console/keys)

![pixel](https://evil.example/pixel.png) <https://evil.example/auto> **<b>x</b>**

\`\`\`html
<img src="https://evil.example/code.png">
\`\`\`

| <i>a</i> | ![t](http://evil.example/t.png) |
|---|---|
| <iframe src=x> | x |

&lt;img src=x onerror=1&gt; the end`;

test('what models and tools say never becomes markup, and nothing is fetched for it', async () => {
  await play([{ when: { last_user: 'hostile' }, reply: reply({ reasoning: ['<img src=x onerror="window.pwned=1">'] }, { text: HOSTILE.match(/[\s\S]{1,11}/g) }) }]);
  const { page, go, leave } = await visit(browser, server);
  const thread = await makeThread();
  await go(`/console/threads/${thread}`);
  await page.getByRole('textbox', { name: /^Message/ }).fill('hostile <img src=x onerror="window.pwned=1">');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByRole('log').getByText('the end').waitFor();
  for (const reload of [false, true]) {
    if (reload) {
      await page.reload();
      await page.getByRole('log').getByText('the end').waitFor();
    }
    assert.equal(await page.locator('main :is(img, script, iframe, object, embed, style, [onclick], [onerror], [onload])').count(), 0);
    assert.equal(await page.evaluate(() => 'pwned' in window), false);
    const text = (await answers(page)).join('\n');
    for (const shown of ['<img src=x onerror="window.pwned=1">', '<script>window.pwned=1</script>', '<iframe src=x>', '<b>x</b>']) {
      assert.ok(text.includes(shown), `${shown} is shown as text in ${text}`);
    }
    const hrefs = await page.locator('.markdown a').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    assert.ok(hrefs.length > 0);
    for (const href of hrefs) assert.match(href ?? '', /^https?:/);
  }
  await leave();
});

test('a conversation of 500 messages opens at its end and scrolls to its beginning', async () => {
  const thread = await longThread();
  const { page, go, leave } = await visit(browser, server);
  await go(`/console/threads/${thread}`);
  const last = page.getByRole('log').getByText('Question 249');
  await last.waitFor();
  assert.equal(await page.locator('[data-role="user"]').count(), 250);
  const each = await scrollCost(page);
  assert.ok(each < 12, `a frame costs ${each.toFixed(1)} ms of a processor; 16 would be too many at 60 a second`);
  const first = page.getByRole('log').getByText('Question 0', { exact: true });
  await first.scrollIntoViewIfNeeded();
  const isInView = (/** @type {Element} */ element) => element.getBoundingClientRect().bottom > 0 && element.getBoundingClientRect().top < innerHeight;
  assert.deepEqual([await first.evaluate(isInView), await last.evaluate(isInView)], [true, false]);
  await leave();
});

test('threads are found by their words, named anew and deleted', async () => {
  await play([]);
  const thread = await makeThread();
  const run = await startRun(thread, 'A rare question about axolotls');
  await server.call('GET', `/runs/${run.id}/events`);
  const { page, go, leave } = await visit(browser, server);
  await go(`/console/threads/${thread}`);
  await page.getByLabel('More about this conversation').click();
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByLabel('Title').fill('Axolotls & friends <b>');
  await page.getByLabel('Title').press('Enter');
  await page.getByRole('heading', { name: 'Axolotls & friends <b>' }).waitFor();
  await page.getByLabel('Search threads').fill('axoLOTLs');
  const list = page.getByRole('navigation', { name: 'Threads' });
  await list.getByText('Axolotls & friends').waitFor();
  assert.equal(await list.getByRole('link').count(), 1);
  await page.getByLabel('Search threads').fill('no such words at all');
  await page.getByText('Nothing found').waitFor();
  await page.getByLabel('Search threads').fill('');
  await page.getByLabel('More about this conversation').click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('heading', { name: 'New conversation' }).waitFor();
  assert.equal(await list.getByText('Axolotls').count(), 0);
  await go(`/console/threads/${thread}`);
  await page.getByRole('alert').getByText('Nothing that this API key may see').waitFor();
  await leave();
});
