// `npm run measure`: how soon the page paints, how large it is, and what a stream of tokens costs the browser.
import { manyStreams, percentile } from './many-streams.mjs';
import { longThread, scrollCost } from './long-thread.mjs';
import { visit } from './visitor.mjs';
import { browser, makeThread, server } from './world.mjs';

const paints = [];
for (let round = 0; round < 5; round += 1) {
  const { page, context } = await visit(browser, server, { key: null });
  await page.reload();
  paints.push(
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          const seen = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
          const look = () => (seen() === undefined ? requestAnimationFrame(look) : resolve(seen()));
          look();
        }),
    ),
  );
  await context.close();
}
const sorted = paints.map(Number).sort((a, b) => a - b);
console.log(`first paint: ${Math.round(sorted[2] ?? 0)} ms (median of ${sorted.length}, slowest ${Math.round(sorted.at(-1) ?? 0)} ms)`);

const { page, context, go } = await visit(browser, server);
let bytes = 0;
const client = await context.newCDPSession(page);
await client.send('Network.enable');
await client.send('Network.setCacheDisabled', { cacheDisabled: true });
client.on('Network.loadingFinished', (event) => {
  bytes += event.encodedDataLength;
});
await go(`/console/threads/${await makeThread()}`);
await page.getByRole('textbox', { name: /^Message/ }).waitFor();
console.log(`chat page: ${Math.round(bytes / 1000)} kB over the wire, answers of the API included`);

await context.close();

const many = { streams: 50, rate: 20, seconds: 20 };
const { share } = await manyStreams(many);
console.log(`50 streams of 20 words a second on one page: ${(share * 100).toFixed(0)}% of a core for the page's thread`);
const { frames } = await manyStreams({ ...many, watchFrames: true });
console.log(`between frames: ${[50, 95, 99].map((percent) => `p${percent} ${percentile(frames, percent).toFixed(0)} ms`).join(', ')}`);

const long = await visit(browser, server);
await long.go(`/console/threads/${await longThread()}`);
await long.page.getByRole('log').getByText('Question 249').waitFor();
console.log(`scrolling through 500 messages: ${(await scrollCost(long.page)).toFixed(1)} ms a frame`);
await long.context.close();
