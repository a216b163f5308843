// Writes src/api/schema.d.ts, the types of the API, from the server's OpenAPI document. It is made anew before each type
// check and not committed: so it cannot be old.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import openapiTypescript, { astToString } from 'openapi-typescript';

const here = dirname(fileURLToPath(import.meta.url));
const document = process.env.OPENAPI_DOCUMENT ?? join(here, '../../crates/server/openapi.json');
const output = join(here, '../src/api/schema.d.ts');

const nodes = await openapiTypescript(JSON.parse(readFileSync(document, 'utf8')), {
  alphabetize: true,
  defaultNonNullable: false,
  emptyObjectsUnknown: true,
});
const text = `// Made by \`npm run api\` from the server's OpenAPI document. Not written by hand.\n\n${astToString(nodes)}`;

writeFileSync(output, text);
