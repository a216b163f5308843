// Where a run's steps lie on a time axis. Pure: steps and the time in, shares of the axis out.
import type { Step } from '../api/types';

export interface Bar {
  step: Step;
  /** Shares of the axis, 0 to 1. */
  start: number;
  width: number;
  milliseconds: number;
  open: boolean;
}

export interface Timeline {
  bars: Bar[];
  milliseconds: number;
  ticks: { at: number; milliseconds: number }[];
}

/** Lays the steps out between the run's beginning and its end, or `now` while it is open. */
export function layOut(steps: Step[], from: string, until: string | undefined, now: number): Timeline {
  const begin = Math.min(Date.parse(from), ...steps.map((step) => Date.parse(step.started_at)));
  const ends = steps.map((step) => (step.completed_at ? Date.parse(step.completed_at) : (until ? Date.parse(until) : now)));
  const end = Math.max(until ? Date.parse(until) : now, begin + 1, ...ends);
  const whole = end - begin;
  const bars = steps.map((step) => {
    const start = Date.parse(step.started_at) - begin;
    const open = !step.completed_at;
    const stop = step.completed_at ? Date.parse(step.completed_at) : until ? Date.parse(until) : now;
    const milliseconds = Math.max(stop - begin - start, 0);
    return { step, start: start / whole, width: milliseconds / whole, milliseconds, open };
  });
  return { bars, milliseconds: whole, ticks: ticks(whole) };
}

/** Round times that cut the axis into four to eight parts. */
export function ticks(whole: number): { at: number; milliseconds: number }[] {
  const rough = whole / 5;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power * 10;
  const found = [];
  for (let at = 0; at <= whole; at += step) found.push({ at: at / whole, milliseconds: at });
  return found;
}
