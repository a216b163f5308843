import { Lexer } from 'marked';
import { describe, expect, it, vi } from 'vitest';
import { GrowingMarkdown, decodeEntities, normalise, safeHref } from './markdown';

const DOCUMENTS = [
  'Plain words.\n\nAnd a second paragraph\nof two lines.',
  '# Title\n\nText with **bold**, *em*, `code` and [a link](https://example.com).\n\nSetext\n===\n\nend',
  '- one\n- two\n\n  still two\n\n- three\n\nafter the list\n\n1. a\n2. b',
  '```js\nconst a = 1;\n\n\nconst b = 2;\n```\n\nafter\n\n~~~\nopen fence\n\nstill open',
  '| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 4 |\n\nafter\n\n> quote\n> more\nlazy\n\nend',
  '<div onclick="x">\n\nhello\n\n</div>\n\n<script>alert(1)</script>\n\n- [ ] task\n- [x] done\n\n---\n\n    indented\n\n    code\n\nend\n\n\n\n',
];

function shape(tokens: { type: string; raw: string }[]): string[] {
  // Blank lines between blocks are cut differently when read in parts, and draw nothing.
  return tokens.filter(({ type }) => type !== 'space').map(({ type, raw }) => `${type}:${raw.trimEnd()}`);
}

describe('growing Markdown', () => {
  it('ends as the whole text read at once, however it grew', () => {
    for (const document of DOCUMENTS) {
      const whole = shape(new Lexer({ gfm: true }).lex(document));
      for (const size of [1, 2, 3, 7, 20, 1000]) {
        const reader = new GrowingMarkdown();
        let blocks: ReturnType<GrowingMarkdown['read']> = [];
        for (let end = size; end < document.length + size; end += size) blocks = reader.read(document.slice(0, end));
        expect(shape(blocks), `${size}: ${document}`).toEqual(whole);
      }
    }
  });

  it('keeps closed blocks as they are', () => {
    const reader = new GrowingMarkdown();
    const before = reader.read('one\n\ntwo\n\nthr');
    const after = reader.read('one\n\ntwo\n\nthree and more');
    expect(after[0]).toBe(before[0]);
    expect(after.at(-1)?.raw).toBe('three and more');
  });

  it('begins again when the text is another', () => {
    const reader = new GrowingMarkdown();
    reader.read('one\n\ntwo\n\nthree');
    expect(shape(reader.read('other'))).toEqual(['paragraph:other']);
  });

  it('costs what is new, not what was', () => {
    const lex = vi.spyOn(Lexer.prototype, 'lex');
    const reader = new GrowingMarkdown();
    let text = '';
    for (let part = 0; part < 1000; part += 1) {
      text += part % 10 === 9 ? 'word.\n\n' : 'word ';
      reader.read(text);
    }
    const longest = Math.max(...lex.mock.calls.map(([source]) => source.length));
    lex.mockRestore();
    expect(text.length).toBeGreaterThan(5000);
    expect(longest).toBeLessThan(200);
  });

  it('knows one kind of line end', () => {
    expect(normalise('a\r\nb\rc')).toBe('a\nb\nc');
  });
});

describe('links', () => {
  it('lead to the web or mail only', () => {
    expect(safeHref('https://example.com/a?b=1&amp;c=2')).toBe('https://example.com/a?b=1&c=2');
    expect(safeHref('mailto:a@example.com')).toBe('mailto:a@example.com');
    for (const href of ['javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\nscript:alert(1)', '&#106;avascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', '/console/keys', '//evil.example', 'blob:x', '']) {
      expect(safeHref(href), href).toBeUndefined();
    }
  });
});

describe('character references', () => {
  it('become characters, once', () => {
    expect(decodeEntities('a &amp; b &lt;c&gt; &#233; &#xe9; &nope; &amp;lt;')).toBe('a & b <c> é é &nope; &lt;');
    expect(decodeEntities('&#0;&#xd800;&#x110000;')).toBe('\ufffd\ufffd\ufffd');
  });
});
