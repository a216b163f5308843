import assert from 'node:assert/strict';
import { manyStreams } from './many-streams.mjs';
import { test } from './world.mjs';

test('fifty streams on one page lose no word and take less than half a core', async () => {
  const { expected, texts, share } = await manyStreams({ streams: 50, rate: 20, seconds: 8 });
  assert.equal(texts.length, 50);
  for (const text of texts) assert.equal(text, expected);
  // Processor time of the page's own thread, which other work on the machine does not change.
  assert.ok(share < 0.5, `the page's thread took ${(share * 100).toFixed(0)}% of a core`);
});
