// Builds the console aside and says whether dist/ is what the sources build to, and small enough.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const COMPRESSED_MAX = 350_000;
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const aside = mkdtempSync(join(tmpdir(), 'runyard-console-'));

/** @param {string} folder @returns {Map<string, Buffer>} */
function files(folder) {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const found = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(found.map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}

try {
  await build({ root, logLevel: 'warn', build: { outDir: aside, emptyOutDir: true } });
  const built = files(aside);
  const committed = files(join(root, 'dist'));
  const names = new Set([...built.keys(), ...committed.keys()]);
  const different = [...names].filter((name) => !built.get(name)?.equals(committed.get(name) ?? Buffer.alloc(0))).sort();
  if (different.length > 0) {
    console.error(`dist/ is not what the sources build to; run \`npm run build\` and commit it:\n  ${different.join('\n  ')}`);
    process.exitCode = 1;
  }
  const compressed = [...built.values()].reduce((sum, bytes) => sum + gzipSync(bytes).length, 0);
  console.log(`console: ${Math.round(compressed / 1000)} kB compressed, everything included (at most ${COMPRESSED_MAX / 1000} kB)`);
  if (compressed > COMPRESSED_MAX) process.exitCode = 1;
} finally {
  rmSync(aside, { recursive: true, force: true });
}
