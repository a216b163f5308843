// Pages of other origins: what a browser lets them do with a session's token.
import assert from 'node:assert/strict';
import { browser, elsewhere, play, reply, server, test, words } from './world.mjs';

/**
 * A session from a page of `origin`, executed, asked and completed; or what the browser said instead.
 * @param {string} origin @param {{ session_id: string, session_token: string }} session
 */
async function use(origin, session) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin);
  const told = await page.evaluate(
    async ({ base, token }) => {
      /** @param {string} path @param {object} body */
      const post = (path, body) =>
        fetch(`${base}/${path}`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'Idempotency-Key': path },
          body: JSON.stringify(body),
        });
      try {
        const executed = await post('execute', { tool_name: 'get_model', arguments: { model_id: 'phi-4-mini' }, tool_call_id: 'call_1' });
        const answered = await (await post('inference', { input: 'Which model fits?', stream: true })).text();
        const completed = await post('complete', { summary: 'Phi-4 mini fits.' });
        return {
          executed: await executed.json(),
          answered,
          completed: await completed.json(),
          request: completed.headers.get('x-request-id'),
        };
      } catch (error) {
        return String(error);
      }
    },
    { base: `${server.url}/api/v1/agents/sessions/${session.session_id}`, token: session.session_token },
  );
  await context.close();
  return told;
}

test('a page of a declared origin uses a session with its token, and no other page does', async () => {
  await play([{ when: { last_user: 'Which model' }, reply: reply(words('Phi-4 mini fits.')) }]);
  const session = await server.call('POST', '/sessions', { agent_type: 'deployment_advisor', query: 'Which model fits?', context: {} });
  // The same server under another name is another origin, and not declared.
  const stranger = elsewhere.replace('127.0.0.1', 'localhost');
  assert.match(String(await use(stranger, session)), /Failed to fetch/);
  assert.equal((await server.call('GET', `/runs/${session.session_id}`)).steps.length, 0);

  const told = await use(elsewhere, session);
  assert.ok(typeof told === 'object', String(told));
  assert.equal(told.executed.is_error, false);
  assert.match(told.executed.content, /phi-4-mini/);
  assert.match(told.answered, /event: response\.completed/);
  assert.equal(told.completed.status, 'completed');
  assert.ok(told.request, 'the id of a request can be read');
  const kinds = (await server.call('GET', `/runs/${session.session_id}`)).steps.map((/** @type {{ kind: string }} */ step) => step.kind);
  assert.deepEqual(kinds.filter((/** @type {string} */ kind) => kind !== 'lane_change'), ['tool_call', 'gate', 'model_turn']);
});
