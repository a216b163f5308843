// Usage as a plot needs it: the largest groups by name, the rest together, one value for each step of time.
import type { UsagePoint } from '../api/types';

export type Measure = 'runs' | 'failed' | 'tokens' | 'cost';

export interface Series {
  name: string;
  /** The colour, the same for a group in every plot. */
  tone: number;
  /** One for each step. */
  values: number[];
  total: number;
}

export interface Plot {
  /** The beginnings of the steps, in milliseconds since 1970. */
  steps: number[];
  series: Series[];
  /** The largest sum of a step. */
  top: number;
}

export interface Totals {
  runs: number;
  failed: number;
  tokens: number;
  cost: number;
}

/** Groups that are told apart; more would need more colours than an eye can hold. */
const GROUPS_MAX = 5;
const STEP_MS = { hour: 3_600_000, day: 86_400_000 };

export function valueOf(point: UsagePoint, measure: Measure): number {
  switch (measure) {
    case 'runs':
      return point.runs;
    case 'failed':
      return point.failed;
    case 'tokens':
      return point.input_tokens + point.output_tokens;
    case 'cost':
      return point.cost_usd;
  }
}

export function totalsOf(points: UsagePoint[]): Totals {
  const totals = { runs: 0, failed: 0, tokens: 0, cost: 0 };
  for (const point of points) {
    totals.runs += point.runs;
    totals.failed += point.failed;
    totals.tokens += point.input_tokens + point.output_tokens;
    totals.cost += point.cost_usd;
  }
  return totals;
}

/** What a group without a name is called: runs that never reached a lane. */
export function nameOf(point: UsagePoint): string {
  return point.name ?? 'no lane';
}

export interface Report {
  from: string;
  to: string;
  bucket: 'hour' | 'day';
  points: UsagePoint[];
}

/** The groups by what they cost and used, the most first. */
export function rank(points: UsagePoint[]): string[] {
  const totals = new Map<string, Totals>();
  for (const point of points) {
    const id = point.group ?? '';
    const before = totals.get(id) ?? { runs: 0, failed: 0, tokens: 0, cost: 0 };
    const more = totalsOf([point]);
    totals.set(id, { runs: before.runs + more.runs, failed: before.failed + more.failed, tokens: before.tokens + more.tokens, cost: before.cost + more.cost });
  }
  return [...totals].sort(([a, x], [b, y]) => y.cost - x.cost || y.tokens - x.tokens || y.runs - x.runs || a.localeCompare(b)).map(([id]) => id);
}

export function plotOf(report: Report, measure: Measure, named: (point: UsagePoint) => string = nameOf): Plot {
  const tones = rank(report.points);
  const step = STEP_MS[report.bucket];
  const from = Date.parse(report.from);
  const count = Math.max(Math.ceil((Date.parse(report.to) - from) / step), 1);
  const groups = new Map<string, Series>();
  for (const point of report.points) {
    const place = Math.floor((Date.parse(point.at) - from) / step);
    if (place < 0 || place >= count) continue;
    const id = point.group ?? '';
    const series = groups.get(id) ?? { name: named(point), tone: Math.min(tones.indexOf(id), GROUPS_MAX), values: new Array<number>(count).fill(0), total: 0 };
    const value = valueOf(point, measure);
    series.values[place] = (series.values[place] ?? 0) + value;
    series.total += value;
    groups.set(id, series);
  }
  const used = [...groups.values()].filter(({ total }) => total > 0).sort((a, b) => a.tone - b.tone || b.total - a.total);
  const series = used.filter(({ tone }) => tone < GROUPS_MAX);
  const others = used.filter(({ tone }) => tone >= GROUPS_MAX);
  if (others.length > 0) {
    const values = Array.from({ length: count }, (_, place) => others.reduce((sum, other) => sum + (other.values[place] ?? 0), 0));
    series.push({ name: others.length === 1 ? (others[0]?.name ?? '') : `${others.length} others`, tone: GROUPS_MAX, values, total: others.reduce((sum, { total }) => sum + total, 0) });
  }
  const sums = Array.from({ length: count }, (_, place) => series.reduce((sum, { values }) => sum + (values[place] ?? 0), 0));
  return { steps: sums.map((_, place) => from + place * step), series, top: Math.max(...sums, 0) };
}

/** Round marks from nothing to at least `top`: at most five, of 1, 2 or 5 times a power of ten. */
export function marks(top: number, whole: boolean): number[] {
  if (top <= 0) return [0, 1];
  let step = 10 ** Math.floor(Math.log10(top));
  for (const factor of [0.1, 0.2, 0.5, 1, 2, 5]) {
    const tried = 10 ** Math.floor(Math.log10(top)) * factor;
    step = tried;
    if (top / tried <= 4) break;
  }
  if (whole) step = Math.max(Math.round(step), 1);
  const found = [0];
  while ((found.at(-1) ?? 0) < top - step * 1e-9) found.push(Number((found.length * step).toPrecision(12)));
  return found;
}
