// The approvals that wait, live for the whole page.
import { type Asked, askedIn, calls } from '../api/calls';
import { follow, type Connection } from '../api/follow';
import { explain } from '../api/problem';

const HIDDEN_EVERY_MS = 10_000;

class Inbox {
  pending = $state.raw<Asked[]>([]);
  loaded = $state(false);
  error = $state<string | undefined>();
  /** Nobody is told of a connection that was lost before there was one. */
  connection = $state<Connection>('open');
  private stopped: AbortController | undefined;
  private readonly watchVisibility = (): void => this.listen();

  start(): void {
    this.stop();
    document.addEventListener('visibilitychange', this.watchVisibility);
    this.listen();
  }

  stop(): void {
    document.removeEventListener('visibilitychange', this.watchVisibility);
    this.stopped?.abort();
    this.stopped = undefined;
    this.pending = [];
    this.loaded = false;
    this.error = undefined;
    this.connection = 'open';
  }

  /** Reads the list again. */
  async refresh(): Promise<void> {
    try {
      this.pending = (await calls.pendingApprovals()).sort(oldestFirst);
      this.error = undefined;
      this.loaded = true;
    } catch (error) {
      this.error = explain(error);
    }
  }

  /** Takes an approval as it is now; one that is decided leaves the inbox. */
  put(asked: Asked): void {
    const others = this.pending.filter(({ approval }) => approval.id !== asked.approval.id);
    this.pending = asked.approval.status === 'pending' ? [...others, asked].sort(oldestFirst) : others;
  }

  /**
   * In view, by the stream. Hidden, by looking now and then: a browser opens few connections to one server, and tabs
   * that nobody looks at must not take them all.
   */
  private listen(): void {
    this.stopped?.abort();
    const stopped = new AbortController();
    this.stopped = stopped;
    if (!document.hidden) {
      void this.follow(stopped.signal);
      return;
    }
    const timer = setInterval(() => void this.refresh(), HIDDEN_EVERY_MS);
    stopped.signal.addEventListener('abort', () => clearInterval(timer));
  }

  private async follow(signal: AbortSignal): Promise<void> {
    await this.refresh();
    try {
      await follow({
        signal,
        open: async (_, abort) => {
          const response = await calls.approvalStream(abort);
          // What changed while nobody listened is in the list.
          await this.refresh();
          return response;
        },
        take: (frame) => {
          this.put(askedIn(frame.data, 'approval'));
          return false;
        },
        connection: (state) => {
          this.connection = state;
        },
      });
    } catch (error) {
      if (!signal.aborted) this.error = explain(error);
    }
  }
}

/** What comes last stands last, so that no call takes the place of another under the hand that decides. */
function oldestFirst(a: Asked, b: Asked): number {
  return a.approval.requested_at.localeCompare(b.approval.requested_at);
}

export const inbox = new Inbox();
