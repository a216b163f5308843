// Markdown as data: blocks that the page draws as elements. HTML in it is never parsed, only shown as the text it is.
// A growing text is read from its last open block on, so that a long answer costs what is new.
import { Lexer, type MarkedToken, type Token } from 'marked';

export type Block = MarkedToken;

/** Reads a text that only grows. */
export class GrowingMarkdown {
  private closed: Block[] = [];
  private closedUntil = 0;
  private source = '';
  private open: Block[] = [];

  /** The blocks of the whole text. Blocks that can change no more are the same objects as before. */
  read(source: string): Block[] {
    if (!source.startsWith(this.source)) {
      this.closed = [];
      this.closedUntil = 0;
    }
    this.source = source;
    const tokens = lex(source.slice(this.closedUntil));
    // Only the last block can still change by what follows; blank lines after it may yet belong to it.
    let last = tokens.length - 1;
    while (last > 0 && tokens[last]?.type === 'space') last -= 1;
    const done = tokens.slice(0, Math.max(last, 0));
    this.open = tokens.slice(Math.max(last, 0));
    this.closed.push(...done);
    for (const token of done) this.closedUntil += token.raw.length;
    return [...this.closed, ...this.open];
  }
}

function lex(source: string): Block[] {
  // The lexer drops carriage returns, which would shift every offset.
  return new Lexer({ gfm: true, breaks: false }).lex(source) as Block[];
}

/** Normalises line ends, as a Markdown reader would, before any offset is counted. */
export function normalise(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

const NAMED: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
  copy: '\u00a9',
  reg: '\u00ae',
  trade: '\u2122',
  hellip: '\u2026',
  mdash: '\u2014',
  ndash: '\u2013',
  lsquo: '\u2018',
  rsquo: '\u2019',
  ldquo: '\u201c',
  rdquo: '\u201d',
  times: '\u00d7',
  rarr: '\u2192',
  larr: '\u2190',
  deg: '\u00b0',
  euro: '\u20ac',
};

/** Character references as the characters they stand for. What is not one stays as it is. */
export function decodeEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{2,8}));/g, (whole, decimal, hex, name) => {
    if (name) return NAMED[name as string] ?? whole;
    const number = decimal ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
    if (number === 0 || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) return '\ufffd';
    return String.fromCodePoint(number);
  });
}

/** The address of a link that a reader may follow; undefined for every scheme but the web's and mail. */
export function safeHref(href: string): string | undefined {
  const address = decodeEntities(href).trim();
  try {
    const url = new URL(address);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : undefined;
  } catch {
    // Relative links would point into this console, which no model knows.
    return undefined;
  }
}

/** The text of tokens without their marks, for what has no room for elements. */
export function plainText(tokens: Token[] | undefined): string {
  return (tokens ?? [])
    .map((token) => ('tokens' in token && token.tokens ? plainText(token.tokens) : decodeEntities('text' in token ? String(token.text) : token.raw)))
    .join('');
}
