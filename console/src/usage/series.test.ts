import { describe, expect, it } from 'vitest';
import type { UsagePoint } from '../api/types';
import { marks, plotOf, totalsOf } from './series';

function point(at: string, group: string | null, runs: number, cost_usd = 0): UsagePoint {
  return { at, group, name: group, runs, failed: 1, cancelled: 0, input_tokens: 10, output_tokens: 5, cached_tokens: 0, cost_usd };
}

const report = {
  from: '2026-01-01T00:00:00Z',
  to: '2026-01-03T12:00:00Z',
  bucket: 'day' as const,
  points: [
    point('2026-01-01T00:00:00Z', 'a', 1),
    point('2026-01-01T00:00:00Z', null, 2),
    point('2026-01-03T00:00:00Z', 'a', 4),
  ],
};

describe('usage', () => {
  it('has a value for each step, the largest group first', () => {
    const plot = plotOf(report, 'runs');
    expect(plot.steps).toEqual([0, 1, 2].map((day) => Date.parse(report.from) + day * 86_400_000));
    expect(plot.series).toEqual([
      { name: 'a', tone: 0, values: [1, 0, 4], total: 5 },
      { name: 'no lane', tone: 1, values: [2, 0, 0], total: 2 },
    ]);
    expect(plot.top).toBe(4);
  });

  it('takes small groups together and leaves empty ones out', () => {
    const points = Array.from({ length: 9 }, (_, at) => point('2026-01-02T00:00:00Z', `g${at}`, at, at));
    const plot = plotOf({ ...report, points }, 'runs');
    expect(plot.series.map(({ name, total }) => [name, total])).toEqual([
      ['g8', 8],
      ['g7', 7],
      ['g6', 6],
      ['g5', 5],
      ['g4', 4],
      ['3 others', 6],
    ]);
  });

  it('gives a group one colour, whatever is plotted', () => {
    const points = [point('2026-01-01T00:00:00Z', 'dear', 1, 5), point('2026-01-01T00:00:00Z', 'busy', 9, 1)];
    for (const measure of ['runs', 'cost'] as const) {
      expect(plotOf({ ...report, points }, measure).series.map(({ name, tone }) => [name, tone])).toEqual([['dear', 0], ['busy', 1]]);
    }
  });

  it('adds everything up', () => {
    expect(totalsOf(report.points)).toEqual({ runs: 7, failed: 3, tokens: 45, cost: 0 });
  });

  it('marks round numbers', () => {
    expect(marks(0, true)).toEqual([0, 1]);
    expect(marks(1, true)).toEqual([0, 1]);
    expect(marks(4, true)).toEqual([0, 1, 2, 3, 4]);
    expect(marks(7, true)).toEqual([0, 2, 4, 6, 8]);
    expect(marks(0.00034, false)).toEqual([0, 0.0001, 0.0002, 0.0003, 0.0004]);
    expect(marks(1234, true)).toEqual([0, 500, 1000, 1500]);
  });
});
