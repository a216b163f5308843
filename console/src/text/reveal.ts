// Finds the characters that a reader would not see, or that reorder what stands around them, so that a page can show
// them instead of obeying them.

/** A stretch of text; `hidden` ones are a single character that must be made visible. */
export interface Segment {
  text: string;
  hidden: boolean;
}

// Controls but tab and newline, soft hyphen, invisible and odd spaces, bidi controls, fillers, variation selectors,
// tags, and halves of surrogate pairs.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;

/** Cuts text so that each hidden character stands alone. */
export function segments(text: string): Segment[] {
  const found: Segment[] = [];
  let plain = '';
  for (const character of text) {
    if (HIDDEN.test(character)) {
      if (plain) found.push({ text: plain, hidden: false });
      found.push({ text: character, hidden: true });
      plain = '';
    } else {
      plain += character;
    }
  }
  if (plain) found.push({ text: plain, hidden: false });
  return found;
}

/** `U+202E` for a character. */
export function codePoint(character: string): string {
  const number = character.codePointAt(0) ?? 0;
  return `U+${number.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** A JSON string in which each hidden character is an escape: the same value, and visible. */
export function quoteVisibly(text: string): string {
  let quoted = '';
  for (const character of text) {
    if (HIDDEN.test(character)) {
      for (let at = 0; at < character.length; at += 1) {
        quoted += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
      }
    } else {
      quoted += JSON.stringify(character).slice(1, -1);
    }
  }
  return `"${quoted}"`;
}

/** Cuts printed JSON so that each `\uXXXX` escape stands alone, marked as hidden. */
export function escapes(printed: string): Segment[] {
  const parts = printed.split(/((?<!\\)(?:\\\\)*\\u[0-9a-f]{4})/i);
  return parts
    .map((text, index) => ({ text, hidden: index % 2 === 1 }))
    .filter(({ text }) => text !== '');
}
