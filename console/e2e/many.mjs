import assert from 'node:assert/strict';
import { manyStreams } from './many-streams.mjs';
import { test } from './world.mjs';

test('fifty streams on one page lose no word and take less than half a core', async () => {
  const { expected, texts, share, frameCost } = await manyStreams({ streams: 50, rate: 20, seconds: 8 });
  assert.equal(texts.length, 50);
  for (const text of texts) assert.equal(text, expected);
  assert.ok(share < 0.5, `the page's thread took ${(share * 100).toFixed(0)}% of a core`);
  assert.ok(frameCost < 12, `a frame costs ${frameCost.toFixed(1)} ms of a processor; 16 would be too many at 60 a second`);
});
