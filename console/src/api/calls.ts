// Every call of the server's API that the console makes. Pages know these functions, never a path.
import { member, parseJson, printJson } from '../text/json';
import { quoteVisibly } from '../text/reveal';
import { type Answer, client, data } from './client';
import { problemFrom } from './problem';
import type { Approval, Decision, Remember, Role, RunStatus, Thread, ThreadDetail, UsageReport, Whoami } from './types';

/** An approval with its arguments printed as they were sent, digit by digit. */
export interface Asked {
  approval: Approval;
  args: string;
}

/** The approval at the end of a path in a JSON text. */
export function askedIn(raw: string, ...path: (string | number)[]): Asked {
  let value: unknown = JSON.parse(raw);
  for (const part of path) value = (value as Record<string | number, unknown>)[part];
  const node = member(parseJson(raw), ...path, 'arguments');
  return { approval: value as Approval, args: node ? printJson(node, quoteVisibly) : '' };
}

function allAskedIn(raw: string): Asked[] {
  const list = JSON.parse(raw) as { approvals: Approval[] };
  const root = member(parseJson(raw), 'approvals');
  return list.approvals.map((approval, index) => {
    const node = member(root, index, 'arguments');
    return { approval, args: node ? printJson(node, quoteVisibly) : '' };
  });
}

/** The headers of a stream that goes on behind a cursor. The document says a number; a cursor is sent back as it came. */
function behind(cursor: string | undefined): { headers: Record<string, string> } {
  return { headers: cursor === undefined ? {} : { 'Last-Event-ID': cursor } };
}

/** The stream of an answer, as a response again. */
async function opened(answer: Promise<Answer<unknown>>): Promise<Response> {
  const stream = await data(answer);
  return new Response(stream as ReadableStream | null, (await answer).response);
}

export const calls = {
  /** Tries a key, by default the session's. */
  whoAmI: (key?: string): Promise<Whoami> =>
    data(client.GET('/api/v1/agents/whoami', key === undefined ? {} : { headers: { Authorization: `Bearer ${key}` } })),

  /** Exchanges the ticket of a sign-in link for a key. It belongs to the page, not to the API. */
  async signIn(ticket: string): Promise<string> {
    const response = await fetch('/console/sign-in', {
      method: 'POST',
      cache: 'no-store',
      credentials: 'omit',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ticket }),
    });
    const body: unknown = await response.json();
    if (!response.ok) throw problemFrom(response.status, body);
    return (body as { key: string }).key;
  },

  agents: () => data(client.GET('/api/v1/agents')),

  threads: (query: { agent_type?: string; cursor?: string }) => data(client.GET('/api/v1/agents/threads', { params: { query } })),
  createThread: (agent_type: string, title: string): Promise<Thread> =>
    data(client.POST('/api/v1/agents/threads', { body: { agent_type, title } })),
  /** The thread, and its JSON as it was sent. */
  async thread(thread_id: string): Promise<{ thread: ThreadDetail; raw: string }> {
    const raw: string = await data(
      client.GET('/api/v1/agents/threads/{thread_id}', { params: { path: { thread_id } }, parseAs: 'text' }),
    );
    return { thread: JSON.parse(raw) as ThreadDetail, raw };
  },
  renameThread: (thread_id: string, title: string | null): Promise<Thread> =>
    data(client.PATCH('/api/v1/agents/threads/{thread_id}', { params: { path: { thread_id } }, body: { title } })),
  deleteThread: (thread_id: string) =>
    data(client.DELETE('/api/v1/agents/threads/{thread_id}', { params: { path: { thread_id } } })),

  /** A new thread with this one's history up to a message, that included. */
  forkThread: (thread_id: string, message_id: string): Promise<Thread> =>
    data(client.POST('/api/v1/agents/threads/{thread_id}/fork', { params: { path: { thread_id } }, body: { message_id } })),

  /** Starts a run and gives its stream. The same `once` never starts a second run, but joins the first. */
  async startRun(thread_id: string, input: string, once: string): Promise<Response> {
    const answer = client.POST('/api/v1/agents/threads/{thread_id}/runs', {
      params: { path: { thread_id }, header: { 'Idempotency-Key': once } },
      body: { input, stream: true },
      parseAs: 'stream',
    });
    return opened(answer);
  },
  runs: (query: { status?: RunStatus; agent_type?: string; cursor?: string }) =>
    data(client.GET('/api/v1/agents/runs', { params: { query } })),
  run: (run_id: string) => data(client.GET('/api/v1/agents/runs/{run_id}', { params: { path: { run_id } } })),
  cancelRun: (run_id: string) =>
    data(client.POST('/api/v1/agents/runs/{run_id}/cancel', { params: { path: { run_id } }, body: {} })),
  async runEvents(run_id: string, cursor: string | undefined, signal: AbortSignal): Promise<Response> {
    const answer = client.GET('/api/v1/agents/runs/{run_id}/events', {
      params: { path: { run_id } },
      ...behind(cursor),
      signal,
      parseAs: 'stream',
    });
    return opened(answer);
  },

  pendingApprovals: async (): Promise<Asked[]> =>
    allAskedIn(await data(client.GET('/api/v1/agents/approvals', { params: { query: { status: 'pending' } }, parseAs: 'text' }))),
  approvals: async (): Promise<Asked[]> => allAskedIn(await data(client.GET('/api/v1/agents/approvals', { parseAs: 'text' }))),
  approval: async (approval_id: string): Promise<Asked> =>
    askedIn(
      await data(client.GET('/api/v1/agents/approvals/{approval_id}', { params: { path: { approval_id } }, parseAs: 'text' })),
    ),
  async approvalStream(signal: AbortSignal): Promise<Response> {
    const answer = client.GET('/api/v1/agents/approvals/stream', { signal, parseAs: 'stream' });
    return opened(answer);
  },
  /** The narrowest grant that would cover an approval's call, if there is one. */
  proposedGrant: async (approval_id: string) =>
    (await data(client.GET('/api/v1/agents/approvals/{approval_id}', { params: { path: { approval_id } } }))).proposed_grant ?? undefined,
  /** What the tool of a call of unknown outcome has answered since. */
  lateAnswers: async (approval_id: string) =>
    (await data(client.GET('/api/v1/agents/approvals/{approval_id}', { params: { path: { approval_id } } }))).late_answers ?? [],
  grants: () => data(client.GET('/api/v1/agents/grants')),
  grant: (grant_id: string) => data(client.GET('/api/v1/agents/grants/{grant_id}', { params: { path: { grant_id } } })),
  revokeGrant: (grant_id: string) => data(client.DELETE('/api/v1/agents/grants/{grant_id}', { params: { path: { grant_id } } })),
  /** `args` is JSON text and goes out digit by digit as it stands. */
  resolve(approval: Approval, decision: Decision, reason: string, args?: string, remember?: Remember): Promise<Approval> {
    return data(
      client.POST('/api/v1/agents/approvals/{approval_id}/resolve', {
        params: { path: { approval_id: approval.id } },
        body: { decision, arguments_digest: approval.arguments_digest, ...(reason ? { reason } : {}), ...(remember ? { remember } : {}) },
        bodySerializer: (body) => {
          const text = JSON.stringify(body);
          return args === undefined ? text : `${text.slice(0, -1)},"arguments":${args}}`;
        },
      }),
    );
  },

  sessions: (query: { status?: RunStatus; cursor?: string }) => data(client.GET('/api/v1/agents/sessions', { params: { query } })),

  lanes: () => data(client.GET('/api/v1/agents/lanes')),

  usage: (query: { by: 'agent' | 'lane' | 'key'; bucket: 'hour' | 'day'; from: string }): Promise<UsageReport> =>
    data(client.GET('/api/v1/agents/usage', { params: { query } })),

  audit: (query: { after?: number; limit?: number }) => data(client.GET('/api/v1/agents/audit', { params: { query } })),

  keys: () => data(client.GET('/api/v1/agents/keys')),
  createKey: (name: string, role: Role, ttl_s: number | undefined) =>
    data(client.POST('/api/v1/agents/keys', { body: { name, role, ...(ttl_s === undefined ? {} : { ttl_s }) } })),
  revokeKey: (key_id: string) => data(client.DELETE('/api/v1/agents/keys/{key_id}', { params: { path: { key_id } } })),
};
