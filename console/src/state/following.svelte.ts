// Follows runs for the pages: feeds their events to a transcript and shows its changes some times a second, however
// many tokens came in between.
import { calls } from '../api/calls';
import { follow, type Connection } from '../api/follow';
import { explain } from '../api/problem';
import type { Event } from '../api/types';
import { type Item, Transcript } from '../run/transcript';

/** Text that comes faster than it can be read is shown in larger pieces, not more often. */
const SHOW_EVERY_MS = 40;

export class FollowedRun {
  items = $state.raw<Item[]>([]);
  /** Rises with each change that is shown. */
  shown = $state(0);
  connection = $state<Connection>('waiting');
  error = $state<string | undefined>();
  ended = $state(false);
  readonly transcript: Transcript;
  private readonly stopped = new AbortController();
  private scheduled = false;
  private shownAt = -SHOW_EVERY_MS;

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
          this.schedule();
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

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    const show = (): void => {
      this.scheduled = false;
      this.show();
    };
    // A hidden page is given no frames.
    if (document.hidden) setTimeout(show, 250);
    else setTimeout(() => requestAnimationFrame(show), this.shownAt + SHOW_EVERY_MS - performance.now());
  }

  private show(): void {
    this.items = [...this.transcript.items];
    this.ended = this.transcript.ended;
    this.shown += 1;
    this.shownAt = performance.now();
  }
}
