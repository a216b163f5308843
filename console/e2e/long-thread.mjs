// A conversation of 500 messages, and what scrolling through it costs the page's thread.
import { processorTime } from './visitor.mjs';
import { makeThread, play, reply, server, startRun, words } from './world.mjs';

const FRAMES = 120;

/** Its thread. @returns {Promise<string>} */
export async function longThread() {
  await play([], reply(words('A short answer with `code` and **weight**.\n\n- one\n- two')));
  const thread = await makeThread();
  for (let turn = 0; turn < 250; turn += 1) {
    const run = await startRun(thread, `Question ${turn}`);
    await server.call('GET', `/runs/${run.id}/events`);
  }
  return thread;
}

/** Scrolls up from the end for a while. @param {import('playwright-core').Page} page @returns {Promise<number>} ms of a processor for each frame */
export async function scrollCost(page) {
  const cost = await processorTime(page, () =>
    page.evaluate(async (frames) => {
      const scroller = /** @type {HTMLElement} */ (document.querySelector('[role="log"]')?.parentElement);
      for (let frame = 0; frame < frames; frame += 1) {
        scroller.scrollTop -= 150;
        await new Promise(requestAnimationFrame);
      }
    }, FRAMES),
  );
  return (cost * 1000) / FRAMES;
}
