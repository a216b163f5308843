import { describe, expect, it } from 'vitest';
import { JsonError, member, parseJson, printJson } from './json';
import { escapes, quoteVisibly } from './reveal';

function compact(source: string): string {
  return printJson(parseJson(source)).replace(/\s+/g, '');
}

describe('JSON without loss', () => {
  it('keeps every digit', () => {
    for (const number of ['12345678901234567890', '1.0', '0.1000000000000000055', '1e400', '-0', '1E+2']) {
      expect(compact(`{"n":${number}}`)).toBe(`{"n":${number}}`);
    }
  });

  it('keeps the order of keys, numbers among them', () => {
    expect(compact('{"b":1,"2":2,"a":3,"1":4,"__proto__":5}')).toBe('{"b":1,"2":2,"a":3,"1":4,"__proto__":5}');
  });

  it('reads what JSON.parse reads, to the same values', () => {
    for (const source of ['null', '[]', '{}', '[1,[2,{"a":[]}]]', '"\\u00e9\\n\\ud83e\\udd80"', ' {"a" : [ true , false ] } ']) {
      expect(JSON.parse(printJson(parseJson(source)))).toEqual(JSON.parse(source));
    }
  });

  it('refuses what is not JSON, and says where', () => {
    for (const source of ['', '{', '[1,]', '{"a":1,}', '{a:1}', '01', '1 2', '"a\nb"', '"\\x"', 'nul', "{'a':1}", '[1 2]', '+1']) {
      expect(() => parseJson(source), source).toThrow(JsonError);
    }
    expect(() => parseJson('{\n  "a": 1,\n  "a": 2\n}')).toThrow('line 3, column 6: the key "a" stands twice');
  });

  it('refuses depth that the server refuses', () => {
    expect(() => parseJson('['.repeat(64) + ']'.repeat(64))).not.toThrow();
    expect(() => parseJson('['.repeat(66) + ']'.repeat(66))).toThrow('nested');
  });

  it('finds members by path', () => {
    const root = parseJson('{"list":[{"x":7}]}');
    expect(member(root, 'list', 0, 'x')).toEqual({ kind: 'number', text: '7' });
    expect(member(root, 'list', 1, 'x')).toBeUndefined();
    expect(member(root, 'list', 'x')).toBeUndefined();
  });

  it('prints hidden characters as escapes of the same value', () => {
    const text = 'pay \u202Eevil\u202C\u0000\u200b\u{e0041} 🦀 \\u0041';
    const printed = printJson(parseJson(JSON.stringify({ text })), quoteVisibly);
    expect(JSON.parse(printed)).toEqual({ text });
    expect(printed).toContain('\\u202e');
    expect(printed).not.toMatch(/[\u202a-\u202e\u200b]/);
    const marked = escapes(printed).filter(({ hidden }) => hidden).map((part) => part.text);
    expect(marked).toEqual(['\\u202e', '\\u202c', '\\u0000', '\\u200b', '\\udb40', '\\udc41']);
  });
});
