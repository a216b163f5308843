import { describe, expect, it } from 'vitest';
import type { Step } from '../api/types';
import { layOut, ticks } from './timeline';

const T0 = Date.parse('2026-01-01T00:00:00Z');
const at = (ms: number): string => new Date(T0 + ms).toISOString();

function step(index: number, from: number, to: number | null): Step {
  return {
    step_index: index,
    source: 'server',
    kind: 'model_turn',
    status: to === null ? 'running' : 'completed',
    name: 'm',
    input: null,
    output: null,
    is_error: false,
    started_at: at(from),
    completed_at: to === null ? null : at(to),
    duration_ms: to === null ? null : to - from,
    attempt: 1,
  };
}

describe('timeline', () => {
  it('lays steps out by their time', () => {
    const { bars, milliseconds } = layOut([step(0, 0, 250), step(1, 500, 1000)], at(0), at(1000), T0);
    expect(milliseconds).toBe(1000);
    expect(bars.map(({ start, width }) => [start, width])).toEqual([
      [0, 0.25],
      [0.5, 0.5],
    ]);
  });

  it('lets an open step reach to now', () => {
    const { bars } = layOut([step(0, 1000, null)], at(0), undefined, T0 + 2000);
    expect(bars[0]).toMatchObject({ start: 0.5, width: 0.5, open: true, milliseconds: 1000 });
  });

  it('ends open steps of an ended run with it, and keeps late ones in view', () => {
    const { bars, milliseconds } = layOut([step(0, 0, null), step(1, 100, 900)], at(0), at(500), T0 + 99_999);
    expect(milliseconds).toBe(900);
    for (const bar of bars) expect(bar.start + bar.width).toBeLessThanOrEqual(1);
  });

  it('has an axis even for nothing', () => {
    expect(layOut([], at(0), at(0), T0).milliseconds).toBe(1);
  });

  it('cuts the axis at round times', () => {
    for (const whole of [1, 7, 90, 1000, 12_345, 3_600_000]) {
      const found = ticks(whole);
      expect(found.length, String(whole)).toBeLessThanOrEqual(8);
      expect(found.length, String(whole)).toBeGreaterThanOrEqual(2);
    }
    expect(ticks(1000).map(({ milliseconds }) => milliseconds)).toEqual([0, 200, 400, 600, 800, 1000]);
  });
});
