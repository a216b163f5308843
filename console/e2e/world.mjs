// What all tests share: one model, one server, one browser, and a limit of time.
import { test as testOf } from 'node:test';
import { startBrowser, startElsewhere, startModel, startServer } from './programs.mjs';

export const model = await startModel();
export const elsewhere = await startElsewhere();
export const server = await startServer(model, elsewhere);
export const browser = await startBrowser();

/** Several times what the slowest test takes: one that hangs fails by itself, and the rest goes on. */
const TEST_MS = 150_000;

/** A test that ends in time. @param {string} name @param {() => Promise<void>} work */
export function test(name, work) {
  return testOf(name, { timeout: TEST_MS }, work);
}

/** A reply of the scripted model. @param {...object} parts */
export function reply(...parts) {
  return { parts };
}

/** Text in tokens of one word each. @param {string} text */
export function words(text) {
  return { text: text.match(/\S+\s*/g) ?? [] };
}

/**
 * Plays a script with rules by what the user said last and, after a tool's result, by what that says.
 * @param {{ when?: object, times?: number | 'always', reply: object }[]} rules
 * @param {object} [otherwise]
 */
export function play(rules, otherwise = reply(words('Nothing to say.'))) {
  return model.play({ rules, otherwise });
}

/**
 * A thread made over the API. @param {string} [agentType]
 * @returns {Promise<string>} its id
 */
export async function makeThread(agentType = 'field_guide') {
  return (await server.call('POST', '/threads', { agent_type: agentType })).id;
}

/** @param {string} thread @param {string} input @returns {Promise<any>} the run, which goes on */
export function startRun(thread, input) {
  return server.call('POST', `/threads/${thread}/runs`, { input, stream: false });
}
