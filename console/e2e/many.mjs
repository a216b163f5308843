import assert from 'node:assert/strict';
import { manyStreams } from './many-streams.mjs';
import { test } from './world.mjs';

test('fifty streams on one page lose no word', async () => {
  const { expected, texts } = await manyStreams({ streams: 50, rate: 20, seconds: 8 });
  assert.equal(texts.length, 50);
  for (const text of texts) assert.equal(text, expected);
});
