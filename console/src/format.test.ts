import { describe, expect, it } from 'vitest';
import { countdown, duration, glance, money, relative, span, titleOf, tokens, words } from './format';
import { pathOf, routeOf } from './routes';

describe('numbers and times', () => {
  it('are short and honest', () => {
    expect([0.2, 12.4, 999, 1500, 12_340, 61_000, 3_720_000].map(duration)).toEqual(['<1 ms', '12 ms', '999 ms', '1.50 s', '12.3 s', '1 min 01 s', '1 h 02 min']);
    expect([0, 0.000042, 0.0012, 0.25, 3].map(money)).toEqual(['$0', '$0.000042', '$0.0012', '$0.2500', '$3.00']);
    expect([0, 9999, 12_345, 2_500_000].map(tokens)).toEqual(['0', '9,999', '12.3 k', '2.50 M']);
    expect([5, 120, 7200, 200_000].map(span)).toEqual(['5 s', '2 min', '2 h', '2 d']);
    expect([3725, 599, 60, 5].map(countdown)).toEqual(['1 h 02 min', '9:59', '1:00', '0:05']);
    expect(words('awaiting_approval')).toBe('awaiting approval');
  });

  it('make titles and glances of text', () => {
    expect(titleOf('  Short\nand more ')).toBe('Short');
    const long = titleOf('word '.repeat(40));
    expect(long).toMatch(/ word…$/);
    expect(long.length).toBeLessThanOrEqual(80);
    expect(titleOf('x'.repeat(200))).toBe(`${'x'.repeat(79)}…`);
    expect(glance('# **Two** of `snake_case`\n- one')).toBe('Two of snake_case\none');
  });

  it('are told from now', () => {
    const now = Date.parse('2026-01-01T12:00:00Z');
    expect(relative('2026-01-01T12:00:02Z', now)).toBe('just now');
    expect(relative('2026-01-01T11:00:00Z', now)).toBe('1 h ago');
    expect(relative('2026-01-02T12:00:00Z', now)).toBe('in 1 d');
  });
});

describe('paths', () => {
  it('name pages', () => {
    expect(routeOf('/')).toEqual({ page: 'threads' });
    expect(routeOf('/console')).toEqual({ page: 'threads' });
    expect(routeOf('/console/threads/abc/')).toEqual({ page: 'threads', id: 'abc' });
    expect(routeOf('/console/agents/a%2Fb')).toEqual({ page: 'agents', id: 'a/b' });
    expect(routeOf('/console/keys')).toEqual({ page: 'keys' });
    for (const path of ['/console/keys/1', '/console/nope', '/console/runs/a/b', '/consoles/runs']) {
      expect(routeOf(path), path).toEqual({ page: 'lost' });
    }
    expect(routeOf('/console/runs/%zz')).toEqual({ page: 'runs', id: '%zz' });
  });

  it('go there and back', () => {
    for (const id of ['x', 'a/b', 'ä?#']) expect(routeOf(pathOf('agents', id))).toEqual({ page: 'agents', id });
  });
});
