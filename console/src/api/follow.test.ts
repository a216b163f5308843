import { describe, expect, it } from 'vitest';
import { type Frame, follow } from './follow';
import { ApiError } from './problem';

function frames(from: number, to: number): string {
  let text = '';
  for (let seq = from; seq <= to; seq += 1) text += `id: ${seq}\nevent: e\ndata: {"n":${seq}}\n\n`;
  return text;
}

/** A response that sends these bytes in small pieces and then ends, or breaks. */
function response(text: string, breaks = false, size = 5): Response {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at < bytes.length) {
        controller.enqueue(bytes.slice(at, (at += size)));
      } else if (breaks) controller.error(new TypeError('network error'));
      else controller.close();
    },
  });
  return new Response(body, { status: 200 });
}

function refusal(status: number, code: string): Response {
  return new Response(JSON.stringify({ code, message: code, status_code: status }), { status });
}

async function run(answers: (Response | Error)[], last: number): Promise<{ seen: string[]; cursors: (string | undefined)[] }> {
  const seen: string[] = [];
  const cursors: (string | undefined)[] = [];
  await follow({
    signal: new AbortController().signal,
    delay: () => 0,
    open: (cursor) => {
      cursors.push(cursor);
      const answer = answers.shift();
      if (!answer) throw new Error('opened too often');
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    take: (frame: Frame) => {
      seen.push(frame.data);
      return frame.id === String(last);
    },
  });
  return { seen, cursors };
}

const all = (to: number): string[] => Array.from({ length: to }, (_, index) => `{"n":${index + 1}}`);

describe('following a stream', () => {
  it('comes back at the cursor after a break, losing and doubling nothing', async () => {
    const cut = `${frames(1, 3)}id: 4\nevent: e\ndata: {"n":4`;
    const { seen, cursors } = await run([response(cut, true), response(frames(4, 6))], 6);
    expect(seen).toEqual(all(6));
    expect(cursors).toEqual([undefined, '3']);
  });

  it('comes back after a clean end that is not the end, and after a server that is away', async () => {
    const { seen, cursors } = await run(
      [response(frames(1, 2)), new TypeError('fetch failed'), refusal(503, 'shutting_down'), refusal(429, 'x'), response(frames(3, 4))],
      4,
    );
    expect(seen).toEqual(all(4));
    expect(cursors).toEqual([undefined, '2', '2', '2', '2']);
  });

  it('throws what the server refuses for good', async () => {
    await expect(run([refusal(404, 'not_found')], 1)).rejects.toMatchObject({ status: 404, code: 'not_found' });
    await expect(run([refusal(401, 'invalid_key')], 1)).rejects.toBeInstanceOf(ApiError);
  });

  it('reads heartbeats without a blank line after them', async () => {
    const text = `id: 1\nevent: e\ndata: {"n":1}\n\n: keep-alive\n: keep-alive\nid: 2\nevent: e\ndata: {"n":2}\n\n`;
    expect((await run([response(text, false, 1)], 2)).seen).toEqual(all(2));
  });

  it('takes nothing after the end', async () => {
    expect((await run([response(frames(1, 9), false, 1000)], 4)).seen).toEqual(all(4));
  });

  it('stops when told', async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    await follow({
      signal: stop.signal,
      delay: () => 0,
      open: () => Promise.resolve(response(frames(1, 2))),
      take: (frame) => {
        seen.push(frame.data);
        if (seen.length === 2) stop.abort();
        return false;
      },
    });
    expect(seen).toEqual(all(2));
  });
});
