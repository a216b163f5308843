// Follows runs for the pages: feeds their events to a transcript and shows its changes some times a second, however
// many tokens came in between.
import { calls } from '../api/calls';
import { follow, type Connection } from '../api/follow';
import { explain } from '../api/problem';
import type { Event } from '../api/types';
import { type Item, Transcript } from '../run/transcript';

/** Text that comes faster than it can be read is shown in larger pieces, not more often. */
const SHOW_EVERY_MS = 40;
/** With each more run that changes, the page is given this much more rest: what is read of fifty at once needs no haste. */
const REST_EACH_MS = 1;

/**
 * Runs with something new. They are shown together, in one frame for all: a frame costs the page's layout whatever changes
 * in it, and runs that each kept a time of their own would need nearly every frame that there is.
 */
const changed = new Set<FollowedRun>();
let scheduled = false;
let showNextAt = 0;

function schedule(run: FollowedRun): void {
  changed.add(run);
  if (scheduled) return;
  scheduled = true;
  // A hidden page is given no frames.
  if (document.hidden) setTimeout(showAll, 250);
  else setTimeout(() => requestAnimationFrame(showAll), showNextAt - performance.now());
}

function showAll(): void {
  scheduled = false;
  const runs = [...changed];
  showNextAt = performance.now() + SHOW_EVERY_MS + REST_EACH_MS * runs.length;
  changed.clear();
  for (const run of runs) run.show();
}

export class FollowedRun {
  items = $state.raw<Item[]>([]);
  /** Rises with each change that is shown. */
  shown = $state(0);
  connection = $state<Connection>('waiting');
  error = $state<string | undefined>();
  ended = $state(false);
  readonly transcript: Transcript;
  private readonly stopped = new AbortController();

  constructor(
    readonly runId: string,
    /** What this page asked, until the store tells it. */
    readonly asked: string | undefined,
  ) {
    this.transcript = new Transcript(runId);
  }

  /** Follows from the beginning, or goes on with a stream that is open already. */
  async run(first?: Response): Promise<void> {
    let opened = first;
    try {
      await follow({
        signal: this.stopped.signal,
        open: async (cursor, signal) => {
          const response = opened ?? (await calls.runEvents(this.runId, cursor, signal));
          opened = undefined;
          return response;
        },
        take: (frame) => {
          const event = JSON.parse(frame.data) as Event;
          this.transcript.apply(event, frame.data);
          schedule(this);
          return event.type === 'done';
        },
        connection: (state) => {
          this.connection = state;
        },
      });
    } catch (error) {
      this.error = explain(error);
    }
    this.show();
  }

  stop(): void {
    this.stopped.abort();
  }

  /** Brings to the page what the transcript has. */
  show(): void {
    this.items = [...this.transcript.items];
    this.ended = this.transcript.ended;
    this.shown += 1;
  }
}
