import { describe, expect, it } from 'vitest';
import { codePoint, escapes, segments } from './reveal';

describe('characters that cannot be seen', () => {
  it('stand alone and are named', () => {
    expect(segments('a\u202Eb')).toEqual([
      { text: 'a', hidden: false },
      { text: '\u202E', hidden: true },
      { text: 'b', hidden: false },
    ]);
    expect(codePoint('\u202E')).toBe('U+202E');
    expect(codePoint('\u{e0001}')).toBe('U+E0001');
  });

  it('are all found', () => {
    const hidden = ['\u0000', '\u0008', '\r', '\u001b', '\u007f', '\u0085', '\u00a0', '\u00ad', '\u061c', '\u200b', '\u200d', '\u200f', '\u2028', '\u202a', '\u2060', '\u2066', '\u2069', '\u3164', '\ufeff', '\u{e0020}', '\ud800'];
    for (const character of hidden) {
      expect(segments(`x${character}y`).map((part) => part.hidden), codePoint(character)).toEqual([false, true, false]);
    }
  });

  it('are not found in ordinary text', () => {
    for (const text of ['plain text\n\twith a tab', 'Größe 你好 שלום مرحبا', '🦀👍', 'naïve café', '']) {
      expect(segments(text).every((part) => !part.hidden), text).toBe(true);
    }
  });

  it('lose nothing when cut', () => {
    const text = 'a\u202Eb\u0000c\u{e0001}d\ud800';
    expect(segments(text).map((part) => part.text).join('')).toBe(text);
    expect(escapes('"\\\\u0041 \\u202e"').map((part) => part.text).join('')).toBe('"\\\\u0041 \\u202e"');
  });

  it('are not mistaken for text about escapes', () => {
    expect(escapes('"\\\\u0041"').some((part) => part.hidden)).toBe(false);
  });
});
