// `npm run e2e`: the console in a real browser against the real server. `npm run screenshots` makes pictures instead;
// `npm run measure` figures.
import process from 'node:process';
import { after } from 'node:test';
import { closeAll } from './programs.mjs';

/** For everything together: the tests take about two minutes on two cores. */
const LIMIT_MS = 600_000;

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => {
    void closeAll().finally(() => process.exit(1));
  });
}

setTimeout(() => {
  console.error(`not done after ${LIMIT_MS / 1000} seconds: ending it`);
  void closeAll().finally(() => process.exit(1));
}, LIMIT_MS).unref();

if (process.argv.includes('--screenshots') || process.argv.includes('--measure')) {
  try {
    await import(process.argv.includes('--measure') ? './measure.mjs' : './screenshots.mjs');
  } finally {
    await closeAll();
  }
} else {
  after(closeAll);
  const only = process.argv.slice(2);
  for (const name of ['first-minutes', 'signing-in', 'conversation', 'streams', 'many', 'approvals', 'pages', 'access', 'origins']) {
    if (only.length === 0 || only.includes(name)) await import(`./${name}.mjs`);
  }
}
