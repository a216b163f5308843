import { describe, expect, it } from 'vitest';
import type { Approval, Event as RunEvent, Message } from '../api/types';
import { exchangesOf } from './conversation';
import { type Item, Transcript, argumentsIn, itemsOf } from './transcript';

const USAGE = { input_tokens: 10, output_tokens: 5, cached_tokens: 0, cost_usd: 0.001 };
const BY = { key_id: 'k', name: 'ann' };

type Body = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 'run_id' | 'seq' | 'at'> : never) : never;

function told(bodies: Body[]): { transcript: Transcript; raws: { event: RunEvent; raw: string }[] } {
  const raws = bodies.map((body, index) => {
    const event = { ...body, run_id: 'r', seq: index + 1, at: `2026-01-01T00:00:0${index % 10}Z` } as RunEvent;
    return { event, raw: JSON.stringify(event) };
  });
  const transcript = new Transcript('r');
  for (const { event, raw } of raws) transcript.apply(event, raw);
  return { transcript, raws };
}

function approval(change: Partial<Approval> = {}): Approval {
  return {
    id: 'a1',
    approvals_needed: 1,
    other_person: false,
    decisions: [],
    run_id: 'r',
    thread_id: 't',
    agent_type: 'agent',
    kind: 'tool_call',
    tool_call_id: 'c1',
    tool_name: 'deploy',
    tool_version: 'v',
    arguments: { n: 1 },
    arguments_digest: 'd',
    risk: '',
    why: 'the policy asks',
    status: 'pending',
    requested_by: BY,
    requested_at: '2026-01-01T00:00:00Z',
    expires_at: '2026-01-02T00:00:00Z',
    resolved_by: null,
    resolved_at: null,
    reason: null,
    ...change,
  };
}

const GATED: Body[] = [
  { type: 'run_created', thread_id: 't', agent_type: 'agent', agent_version: 'v', status: 'queued' } as Body,
  { type: 'run_status', status: 'running' },
  { type: 'reasoning_delta', message_id: 'm1', delta: 'hm ' },
  { type: 'message_delta', message_id: 'm1', delta: 'Let me ' },
  { type: 'message_delta', message_id: 'm1', delta: 'deploy.' },
  { type: 'tool_call_requested', step_index: 1, tool_call_id: 'c1', tool_name: 'deploy', arguments: { n: 1 } },
  { type: 'approval_requested', approval: approval() },
  { type: 'run_status', status: 'awaiting_approval' },
  { type: 'approval_resolved', approval_id: 'a1', tool_call_id: 'c1', status: 'approved', resolved_by: BY, reason: null },
  { type: 'run_status', status: 'running' },
  { type: 'tool_call_started', step_index: 1, tool_call_id: 'c1', tool_name: 'deploy', attempt: 1 },
  { type: 'tool_call_completed', step_index: 1, tool_call_id: 'c1', tool_name: 'deploy', content: '{"ok":true}', is_error: false },
  { type: 'message_delta', message_id: 'm2', delta: 'Done.' },
  { type: 'usage', step_index: 2, usage: USAGE },
  { type: 'done', status: 'completed', summary: 'Done.', usage: USAGE, error: null },
];

describe('transcript of a run', () => {
  it('tells text, a gated call and its result in order', () => {
    const { transcript } = told(GATED);
    expect(transcript.items).toMatchObject([
      { kind: 'said', id: 'm1', text: 'Let me deploy.', reasoning: 'hm ', complete: true },
      { kind: 'call', id: 'c1', name: 'deploy', args: '{\n  "n": 1\n}', state: 'done', result: { content: '{"ok":true}', isError: false }, decision: { status: 'approved', by: 'ann' } },
      { kind: 'said', id: 'm2', text: 'Done.', complete: true },
    ]);
    expect(transcript).toMatchObject({ status: 'completed', ended: true, usage: USAGE, startedAt: '2026-01-01T00:00:01Z' });
  });

  it('is the same when events come twice', () => {
    const { transcript, raws } = told(GATED);
    const before = structuredClone(transcript.items);
    for (const { event, raw } of raws) transcript.apply(event, raw);
    expect(transcript.items).toEqual(before);
  });

  it('is the same when cut anywhere and joined at the cursor', () => {
    const { transcript, raws } = told(GATED);
    for (let cut = 0; cut <= raws.length; cut += 1) {
      const again = new Transcript('r');
      for (const { event, raw } of [...raws.slice(0, cut), ...raws.slice(Math.max(cut - 2, 0))]) again.apply(event, raw);
      expect(again.items).toEqual(transcript.items);
    }
  });

  it('waits at an open approval', () => {
    const { transcript } = told(GATED.slice(0, 8));
    expect(transcript.items[1]).toMatchObject({ state: 'waiting', decision: { approvalId: 'a1', status: 'pending' } });
    expect(transcript.status).toBe('awaiting_approval');
  });

  it('never splices the text of two attempts', () => {
    const { transcript } = told([
      { type: 'message_delta', message_id: 'm1', delta: 'half an ans' },
      { type: 'turn_restarted', turn: 1, attempt: 2, message_id: 'm1', reason: 'the model went away' },
      { type: 'message_delta', message_id: 'm2', delta: 'whole' },
    ]);
    expect(transcript.items).toMatchObject([
      { kind: 'said', id: 'm1', voided: 'the model went away' },
      { kind: 'note', tone: 'warning' },
      { kind: 'said', id: 'm2', text: 'whole', complete: false },
    ]);
  });

  it('keeps digits of arguments that a number would round', () => {
    const transcript = new Transcript('r');
    const raw = '{"type":"tool_call_requested","run_id":"r","seq":1,"at":"x","step_index":0,"tool_call_id":"c","tool_name":"t","arguments":{"account":12345678901234567890}}';
    transcript.apply(JSON.parse(raw) as RunEvent, raw);
    expect(transcript.items[0]).toMatchObject({ args: '{\n  "account": 12345678901234567890\n}' });
  });

  it('leaves other items alone when one changes', () => {
    const { transcript, raws } = told(GATED.slice(0, 6));
    const [said] = transcript.items;
    transcript.apply({ ...raws[5]!.event, type: 'tool_call_started', seq: 99, attempt: 1 } as RunEvent, '{}');
    expect(transcript.items[0]).toBe(said);
  });

  it('ignores events it does not know', () => {
    const { transcript } = told([{ type: 'something_new', text: 'x' } as unknown as Body, ...GATED]);
    expect(transcript.items).toHaveLength(3);
  });

  it('shows a question about the run as a whole', () => {
    const { transcript } = told([{ type: 'approval_requested', approval: approval({ id: 'b', kind: 'budget', tool_call_id: 'none' }) }]);
    expect(transcript.items).toMatchObject([{ kind: 'question', id: 'b', decision: { kind: 'budget' } }]);
  });
});

const STORED: Message[] = [
  { id: '1', role: 'user', content: 'Hello', run_id: 'r1', created_at: '' },
  { id: '2', role: 'assistant', content: 'Looking', reasoning: 'hm', tool_calls: [{ id: 'c', name: 'look', arguments: {} }], run_id: 'r1', created_at: '' },
  { id: '3', role: 'tool', content: '{"x":1}', tool_call_id: 'c', is_error: true, run_id: 'r1', created_at: '' },
  { id: '4', role: 'assistant', content: [{ type: 'text', text: 'Found' }, { type: 'image', url: 'https://example.com/x.png' }], run_id: 'r1', created_at: '' },
  { id: '5', role: 'user', content: 'More', run_id: 'r2', created_at: '' },
];

describe('stored messages', () => {
  const args = argumentsIn('{"messages":[{"tool_calls":[{"id":"c","arguments":{"n":18446744073709551615}}]}]}');

  it('become the items that their events were', () => {
    const kinds = (items: Item[]): string[] => items.map((item) => `${item.kind}:${item.id}`);
    expect(kinds(itemsOf(STORED, args))).toEqual(['asked:1', 'said:2', 'call:c', 'said:4', 'asked:5']);
    expect(itemsOf(STORED, args)[2]).toMatchObject({ args: '{\n  "n": 18446744073709551615\n}', state: 'done', result: { isError: true } });
    expect(itemsOf(STORED, args)[3]).toMatchObject({ text: 'Found\n\n[image: https://example.com/x.png]' });
  });

  it('are grouped by run', () => {
    const exchanges = exchangesOf(STORED, args);
    expect(exchanges.map(({ id, runId, asked, told }) => [id, runId, asked.length, told.length])).toEqual([
      ['r1', 'r1', 1, 3],
      ['r2', 'r2', 1, 0],
    ]);
  });

  it('keep apart what stands apart', () => {
    const mixed = exchangesOf([STORED[0]!, STORED[4]!, STORED[3]!], args);
    expect(mixed.map(({ id }) => id)).toEqual(['r1', 'r2', '4']);
  });
});
