import assert from 'node:assert/strict';
import { answers, visit } from './visitor.mjs';
import { browser, makeThread, model, play, reply, server, startRun, test, words } from './world.mjs';

const BEGIN = 'The first half of a long answer, word by word, ';
const END = 'and then the second half of it, to the very end.';

/** @param {string} gate */
function held(gate) {
  return reply({ reasoning: ['thinking '] }, words(BEGIN), { hold: gate }, words(END));
}

test('a reload in mid-stream loses and doubles no word', async () => {
  await play([{ when: { last_user: 'tell' }, reply: held('reload') }]);
  const { page, go, say, leave } = await visit(browser, server);
  await go(`/console/threads/${await makeThread()}`);
  await say('tell me');
  await page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  await page.reload();
  await page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Stop' }).count(), 1);
  assert.deepEqual(await page.locator('[data-role="user"]').allTextContents(), ['tell me']);
  await model.open('reload');
  await page.getByRole('log').getByText(END).waitFor();
  await page.getByRole('button', { name: 'Send' }).waitFor();
  assert.deepEqual(await answers(page), [BEGIN + END]);
  await leave();
});

test('a server that is killed under an open page comes back to it', async () => {
  await play([{ when: { last_user: 'survive' }, reply: held('killed') }]);
  const { page, go, say, leave } = await visit(browser, server);
  await go(`/console/threads/${await makeThread()}`);
  await say('survive this');
  await page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  await server.kill();
  await page.getByText('coming back where it broke').waitFor();
  await server.start();
  await model.open('killed');
  await page.getByRole('button', { name: 'Send' }).waitFor({ timeout: 60_000 });
  assert.deepEqual(await answers(page), [BEGIN + END], 'the text of two attempts is never spliced');
  await page.getByText('The answer was begun again').waitFor();
  await page.reload();
  await page.getByRole('log').getByText(END).waitFor();
  assert.deepEqual(await answers(page), [BEGIN + END]);
  await leave();
});

test('a run is stopped, and asked again', async () => {
  await play([
    { when: { last_user: 'go on' }, times: 1, reply: held('never') },
    { when: { last_user: 'go on' }, reply: reply(words('This time to the end.')) },
  ]);
  const { page, go, say, leave } = await visit(browser, server);
  await go(`/console/threads/${await makeThread()}`);
  await say('go on');
  await page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('log').getByText('cancelled').waitFor();
  await page.getByRole('button', { name: 'Ask again' }).click();
  await page.getByRole('log').getByText('This time to the end.').waitFor();
  assert.equal(await page.locator('[data-role="user"]').count(), 2);
  await leave();
});

test('two pages of one conversation show the same', async () => {
  await play([{ when: { last_user: 'both' }, reply: held('both') }]);
  const thread = await makeThread();
  const one = await visit(browser, server);
  await one.go(`/console/threads/${thread}`);
  await one.say('both of you');
  await one.page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  const two = await visit(browser, server);
  await two.go(`/console/threads/${thread}`);
  await two.page.getByRole('log').getByText(BEGIN.trim()).waitFor();
  await model.open('both');
  for (const { page } of [one, two]) {
    await page.getByRole('log').getByText(END).waitFor();
    assert.deepEqual(await answers(page), [BEGIN + END]);
  }
  await one.leave();
  await two.leave();
});

test('what another client says appears in an open conversation', async () => {
  await play([{ when: { last_user: 'elsewhere' }, reply: reply(words('Said from elsewhere.')) }]);
  const thread = await makeThread();
  const { page, go, leave } = await visit(browser, server);
  await go(`/console/threads/${thread}`);
  await page.getByText('Nothing said yet').waitFor();
  await startRun(thread, 'elsewhere');
  await page.getByRole('log').getByText('Said from elsewhere.').waitFor({ timeout: 30_000 });
  await leave();
});

test('a model that fails is told with its code', async () => {
  await play([{ when: { last_user: 'fail' }, reply: { error: { kind: 'auth' } } }]);
  const { page, go, say, leave } = await visit(browser, server);
  await go(`/console/threads/${await makeThread()}`);
  await say('fail now');
  await page.getByRole('alert').waitFor();
  await page.getByRole('log').getByText('failed', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Send' }).waitFor();
  const told = await page.getByRole('alert').innerText();
  await page.reload();
  await page.getByRole('alert').waitFor();
  assert.equal(await page.getByRole('alert').innerText(), told);
  await leave();
});

test('a question is edited, and a conversation forked, without losing the first', async () => {
  await play([
    { when: { last_user: 'first' }, reply: reply(words('Answer one.')) },
    { when: { last_user: 'second' }, reply: reply(words('Answer two.')) },
    { when: { last_user: 'other' }, reply: reply(words('Another answer.')) },
  ]);
  const { page, go, say, leave } = await visit(browser, server);
  const thread = await makeThread();
  await go(`/console/threads/${thread}`);
  for (const [question, answer] of [['first', 'Answer one.'], ['second', 'Answer two.']]) {
    await say(question ?? '');
    await page.getByRole('log').getByText(answer ?? '').waitFor();
    await page.getByRole('button', { name: 'Send' }).waitFor();
  }
  await page.getByRole('button', { name: 'Edit', exact: true }).last().click();
  await page.getByLabel('Your question, edited').fill('other');
  await page.getByLabel('Your question, edited').press('Enter');
  await page.getByRole('log').getByText('Another answer.').waitFor();
  assert.notEqual(new URL(page.url()).pathname, `/console/threads/${thread}`);
  assert.deepEqual(await answers(page), ['Answer one.', 'Another answer.']);
  await page.getByRole('link', { name: 'another conversation' }).click();
  await page.getByRole('log').getByText('Answer two.').waitFor();
  assert.deepEqual(await answers(page), ['Answer one.', 'Answer two.']);
  await page.getByRole('button', { name: 'Fork' }).first().click();
  await page.waitForURL((url) => !url.pathname.endsWith(thread));
  await page.getByRole('log').getByText('Answer one.').waitFor();
  assert.deepEqual(await answers(page), ['Answer one.']);
  await leave();
});
