// JSON read and printed without loss: numbers keep their digits, which JavaScript's own parser would round. What a
// person approves must be what runs, so this is what arguments are shown and edited with.

export type JsonNode =
  | { kind: 'object'; members: { key: string; value: JsonNode }[] }
  | { kind: 'array'; items: JsonNode[] }
  | { kind: 'string'; value: string }
  | { kind: 'number'; text: string }
  | { kind: 'literal'; text: 'true' | 'false' | 'null' };

const DEPTH_MAX = 64;

/** Where and why text is not JSON. Lines and columns count from 1. */
export class JsonError extends Error {
  readonly line: number;
  readonly column: number;

  constructor(message: string, source: string, offset: number) {
    const before = source.slice(0, offset);
    const line = before.split('\n').length;
    const column = offset - before.lastIndexOf('\n');
    super(`line ${line}, column ${column}: ${message}`);
    this.line = line;
    this.column = column;
  }
}

/** Reads one JSON text. Refuses a key that stands twice and nesting over 64, as the server does. */
export function parseJson(source: string): JsonNode {
  const reader = new Reader(source);
  const node = reader.value(0);
  reader.end();
  return node;
}

class Reader {
  private at = 0;

  constructor(private readonly source: string) {}

  value(depth: number): JsonNode {
    if (depth > DEPTH_MAX) throw this.wrong(`nested deeper than ${DEPTH_MAX}`);
    this.space();
    const next = this.source[this.at];
    if (next === '{') return this.object(depth);
    if (next === '[') return this.array(depth);
    if (next === '"') return { kind: 'string', value: this.string() };
    for (const text of ['true', 'false', 'null'] as const) {
      if (this.source.startsWith(text, this.at)) {
        this.at += text.length;
        return { kind: 'literal', text };
      }
    }
    const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    number.lastIndex = this.at;
    const found = number.exec(this.source);
    if (!found) throw this.wrong(next === undefined ? 'a value is missing' : `unexpected ${next}`);
    this.at = number.lastIndex;
    return { kind: 'number', text: found[0] };
  }

  end(): void {
    this.space();
    if (this.at < this.source.length) throw this.wrong('something follows the end');
  }

  private object(depth: number): JsonNode {
    const members: { key: string; value: JsonNode }[] = [];
    const keys = new Set<string>();
    this.list('{', '}', () => {
      if (this.source[this.at] !== '"') throw this.wrong('a key in double quotes is missing');
      const key = this.string();
      if (keys.has(key)) throw this.wrong(`the key ${JSON.stringify(key)} stands twice`);
      keys.add(key);
      this.space();
      if (this.source[this.at] !== ':') throw this.wrong('a colon is missing');
      this.at += 1;
      members.push({ key, value: this.value(depth + 1) });
    });
    return { kind: 'object', members };
  }

  private array(depth: number): JsonNode {
    const items: JsonNode[] = [];
    this.list('[', ']', () => items.push(this.value(depth + 1)));
    return { kind: 'array', items };
  }

  private list(open: string, close: string, item: () => void): void {
    this.at += open.length;
    this.space();
    if (this.source[this.at] === close) {
      this.at += 1;
      return;
    }
    for (;;) {
      this.space();
      item();
      this.space();
      const next = this.source[this.at];
      if (next !== ',' && next !== close) throw this.wrong(`a comma or ${close} is missing`);
      this.at += 1;
      if (next === close) return;
    }
  }

  private string(): string {
    const whole = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    whole.lastIndex = this.at;
    const found = whole.exec(this.source);
    if (!found) throw this.wrong('the text in quotes is not closed or holds a bad escape');
    this.at = whole.lastIndex;
    return JSON.parse(found[0]) as string;
  }

  private space(): void {
    while (' \t\n\r'.includes(this.source[this.at] ?? '-')) this.at += 1;
  }

  private wrong(message: string): JsonError {
    return new JsonError(message, this.source, this.at);
  }
}

/** Prints with two spaces a level. `quote` says how text is put in quotes. */
export function printJson(node: JsonNode, quote: (text: string) => string = JSON.stringify): string {
  return print(node, quote, '\n');
}

function print(node: JsonNode, quote: (text: string) => string, newline: string): string {
  const deeper = `${newline}  `;
  switch (node.kind) {
    case 'object': {
      if (node.members.length === 0) return '{}';
      const lines = node.members.map(
        ({ key, value }) => `${quote(key)}: ${print(value, quote, deeper)}`,
      );
      return `{${deeper}${lines.join(`,${deeper}`)}${newline}}`;
    }
    case 'array': {
      if (node.items.length === 0) return '[]';
      const lines = node.items.map((item) => print(item, quote, deeper));
      return `[${deeper}${lines.join(`,${deeper}`)}${newline}]`;
    }
    case 'string':
      return quote(node.value);
    case 'number':
    case 'literal':
      return node.text;
  }
}

/** The member at the end of a path of keys and places; undefined where the path leads nowhere. */
export function member(node: JsonNode | undefined, ...path: (string | number)[]): JsonNode | undefined {
  let here = node;
  for (const part of path) {
    if (here?.kind === 'object' && typeof part === 'string') {
      here = here.members.find(({ key }) => key === part)?.value;
    } else if (here?.kind === 'array' && typeof part === 'number') {
      here = here.items[part];
    } else {
      return undefined;
    }
  }
  return here;
}
