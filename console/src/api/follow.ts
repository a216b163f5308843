// Follows a stream of server-sent events over fetch, which unlike EventSource can send a key, and comes back at the
// last cursor whenever the connection breaks. It does not know what the events mean.
import { createParser } from 'eventsource-parser';
import { ApiError, problemOf } from './problem';

export interface Frame {
  /** The cursor to come back with. */
  id: string | undefined;
  type: string;
  /** One line of JSON. */
  data: string;
}

export type Connection = 'open' | 'waiting';

export interface FollowOptions {
  /** Opens the stream behind a cursor; without one at its beginning. */
  open(cursor: string | undefined, signal: AbortSignal): Promise<Response>;
  /** Takes an event; true ends the following. */
  take(frame: Frame): boolean;
  /** Told when the connection stands or is waited for. */
  connection?(state: Connection): void;
  signal: AbortSignal;
  /** Where to begin. */
  cursor?: string | undefined;
  /** Milliseconds before the attempt of this number, from 1. */
  delay?(attempt: number): number;
}

/**
 * Returns once `take` said so, or the signal fired. Throws what the server refuses for good; anything that may pass, a
 * dropped connection or a restart of the server, is waited out.
 */
export async function follow(options: FollowOptions): Promise<void> {
  const delay = options.delay ?? backoff;
  let cursor = options.cursor;
  let attempt = 0;
  while (!options.signal.aborted) {
    try {
      const response = await options.open(cursor, options.signal);
      if (!response.ok) throw await problemOf(response);
      options.connection?.('open');
      const ended = await read(response, options, (frame) => {
        attempt = 0;
        if (frame.id !== undefined) cursor = frame.id;
      });
      if (ended) return;
    } catch (error) {
      if (options.signal.aborted) return;
      if (error instanceof ApiError && !error.passes) throw error;
    }
    attempt += 1;
    options.connection?.('waiting');
    await sleep(delay(attempt), options.signal);
  }
}

async function read(response: Response, options: FollowOptions, seen: (frame: Frame) => void): Promise<boolean> {
  if (!response.body) return false;
  let ended = false;
  const parser = createParser({
    onEvent(event) {
      if (ended) return;
      const frame = { id: event.id, type: event.event ?? 'message', data: event.data };
      ended = options.take(frame);
      seen(frame);
    },
  });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return ended;
      parser.feed(decoder.decode(value, { stream: true }));
      if (ended) return true;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function backoff(attempt: number): number {
  const step = Math.min(250 * 2 ** (attempt - 1), 8000);
  return step / 2 + Math.random() * (step / 2);
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
