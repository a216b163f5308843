// What a conversation shows of a run, made from the run's events or from the thread's stored messages. Pure: events in,
// items out. Changed items are new objects, so that a page redraws only those.
import type { Approval, Event, Failure, Lane, Message, RunStatus, Usage } from '../api/types';
import { member, parseJson, printJson } from '../text/json';
import { quoteVisibly } from '../text/reveal';

export interface Said {
  kind: 'said';
  id: string;
  text: string;
  reasoning: string;
  complete: boolean;
  /** Why the text counts no more: its attempt died and was made again. */
  voided?: string;
}

export type CallState = 'requested' | 'waiting' | 'running' | 'done';

export interface Call {
  kind: 'call';
  id: string;
  name: string;
  /** Printed JSON, digits kept and hidden characters escaped. */
  args: string;
  state: CallState;
  attempt: number;
  result?: { content: string; isError: boolean };
  decision?: Decision;
}

/** What a person was asked, and what became of it. */
export interface Decision {
  approvalId: string;
  kind: Approval['kind'];
  why: string;
  status: Approval['status'];
  by?: string | undefined;
  reason?: string | undefined;
}

/** A question about the run as a whole, such as its budget. */
export interface Question {
  kind: 'question';
  id: string;
  decision: Decision;
}

export interface Note {
  kind: 'note';
  id: string;
  tone: 'quiet' | 'warning';
  text: string;
}

export interface Asked {
  kind: 'asked';
  id: string;
  text: string;
}

export type Item = Asked | Said | Call | Question | Note;

const ENDED: readonly RunStatus[] = ['completed', 'failed', 'cancelled'];

export function hasEnded(status: RunStatus): boolean {
  return ENDED.includes(status);
}

/** A run as its events tell it. */
export class Transcript {
  items: Item[] = [];
  status: RunStatus = 'queued';
  lane: Lane | undefined;
  model: string | undefined;
  usage: Usage | undefined;
  error: Failure | undefined;
  startedAt: string | undefined;
  endedAt: string | undefined;
  private seq = 0;
  private readonly places = new Map<string, number>();

  constructor(readonly runId: string) {}

  get ended(): boolean {
    return this.endedAt !== undefined;
  }

  /** Takes the next event; `raw` is its JSON as sent. An event that was seen before changes nothing. */
  apply(event: Event, raw: string): void {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    switch (event.type) {
      case 'run_created':
      case 'run_status':
        this.status = event.status;
        if (event.status === 'running') this.startedAt ??= event.at;
        break;
      case 'gate_decided':
        this.gate(event);
        break;
      case 'message_delta':
        this.said(event.message_id, (said) => ({ ...said, text: said.text + event.delta }));
        break;
      case 'reasoning_delta':
        this.said(event.message_id, (said) => ({ ...said, reasoning: said.reasoning + event.delta }));
        break;
      case 'message_completed':
        this.complete(event.message);
        break;
      case 'tool_call_requested':
        this.put({
          kind: 'call',
          id: event.tool_call_id,
          name: event.tool_name,
          args: printed(raw, 'arguments'),
          state: 'requested',
          attempt: 1,
        });
        break;
      case 'tool_call_started':
        this.call(event.tool_call_id, { state: 'running', attempt: event.attempt });
        break;
      case 'tool_call_completed':
        this.call(event.tool_call_id, {
          state: 'done',
          result: { content: event.content, isError: event.is_error },
        });
        break;
      case 'approval_requested':
        this.ask(event.approval);
        break;
      case 'approval_resolved':
        this.resolve(event);
        break;
      case 'lane_changed':
        if (event.from !== null) {
          this.note(event.seq, 'quiet', `Now in lane ${event.lane.name}: ${event.lane.reason}`);
        }
        this.lane = event.lane;
        this.model = event.model;
        break;
      case 'turn_restarted':
        this.said(event.message_id, (said) => ({ ...said, complete: true, voided: event.reason }));
        this.note(event.seq, 'warning', `The answer was begun again (attempt ${event.attempt}): ${event.reason}`);
        break;
      case 'usage':
        this.usage = added(this.usage, event.usage);
        break;
      case 'error':
        this.error = event.error;
        break;
      case 'done':
        this.finish(event);
        break;
    }
  }

  private finish(event: Extract<Event, { type: 'done' }>): void {
    this.status = event.status;
    this.usage = event.usage;
    this.error = event.error ?? undefined;
    this.endedAt = event.at;
    this.items = this.items.map((item) => (item.kind === 'said' && !item.complete ? { ...item, complete: true } : item));
  }

  private gate(event: Extract<Event, { type: 'gate_decided' }>): void {
    if (event.decision === 'allow') return;
    const mode = event.mode === 'shadow' ? ' (shadow: it did not count)' : '';
    this.note(event.seq, 'warning', `The intent gate said ${event.decision}${mode}: ${event.reason}`);
  }

  private complete(message: Message): void {
    if (message.role !== 'assistant') return;
    const text = textOf(message);
    const reasoning = message.reasoning ?? '';
    if (!text && !reasoning && !this.places.has(message.id)) return;
    this.said(message.id, (said) => ({ ...said, text, reasoning: reasoning || said.reasoning, complete: true }));
  }

  private ask(approval: Approval): void {
    const decision = decisionOf(approval);
    if (this.places.has(approval.tool_call_id)) {
      this.call(approval.tool_call_id, { state: 'waiting', decision });
    } else {
      this.put({ kind: 'question', id: approval.id, decision });
    }
  }

  private resolve(event: Extract<Event, { type: 'approval_resolved' }>): void {
    const outcome = {
      status: event.status,
      by: event.resolved_by?.name,
      reason: event.reason ?? undefined,
    };
    this.items = this.items.map((item) => {
      if ((item.kind !== 'call' && item.kind !== 'question') || item.decision?.approvalId !== event.approval_id) {
        return item;
      }
      const decided = { ...item, decision: { ...item.decision, ...outcome } };
      if (decided.kind === 'call' && decided.state === 'waiting') decided.state = 'requested';
      return decided;
    });
  }

  private said(id: string, change: (said: Said) => Said): void {
    const place = this.places.get(id);
    const before = place === undefined ? undefined : this.items[place];
    const said: Said =
      before?.kind === 'said' ? before : { kind: 'said', id, text: '', reasoning: '', complete: false };
    this.put(change(said));
  }

  private call(id: string, change: Partial<Call>): void {
    const place = this.places.get(id);
    const before = place === undefined ? undefined : this.items[place];
    if (before?.kind === 'call') this.put({ ...before, ...change });
  }

  private note(seq: number, tone: Note['tone'], text: string): void {
    this.put({ kind: 'note', id: `note-${seq}`, tone, text });
  }

  private put(item: Item): void {
    const place = this.places.get(item.id);
    if (place === undefined) {
      this.places.set(item.id, this.items.length);
      this.items.push(item);
    } else {
      this.items[place] = item;
    }
  }
}

function decisionOf(approval: Approval): Decision {
  return {
    approvalId: approval.id,
    kind: approval.kind,
    why: approval.why,
    status: approval.status,
    by: approval.resolved_by?.name,
    reason: approval.reason ?? undefined,
  };
}

function added(before: Usage | undefined, more: Usage): Usage {
  if (!before) return more;
  return {
    input_tokens: before.input_tokens + more.input_tokens,
    output_tokens: before.output_tokens + more.output_tokens,
    cached_tokens: before.cached_tokens + more.cached_tokens,
    cost_usd: before.cost_usd + more.cost_usd,
  };
}

/** A member of a JSON text, printed for people. */
export function printed(raw: string, ...path: (string | number)[]): string {
  try {
    const node = member(parseJson(raw), ...path);
    return node ? printJson(node, quoteVisibly) : '';
  } catch {
    return '';
  }
}

/** The text of a message's parts. Images are named, never fetched. */
export function textOf(message: Pick<Message, 'content'>): string {
  if (typeof message.content === 'string') return message.content;
  return message.content
    .map((part) => (part.type === 'text' ? part.text : `[image: ${part.url.slice(0, 80)}]`))
    .join('\n\n');
}

/** The printed arguments of each call in a thread's JSON, by call id: the digits as they were sent. */
export function argumentsIn(raw: string): Map<string, string> {
  const found = new Map<string, string>();
  const messages = member(parseJson(raw), 'messages');
  for (const message of messages?.kind === 'array' ? messages.items : []) {
    const calls = member(message, 'tool_calls');
    for (const call of calls?.kind === 'array' ? calls.items : []) {
      const id = member(call, 'id');
      const args = member(call, 'arguments');
      if (id?.kind === 'string' && args) found.set(id.value, printJson(args, quoteVisibly));
    }
  }
  return found;
}

/** Stored messages as items, in order. `args` holds the calls' printed arguments. */
export function itemsOf(messages: Message[], args: ReadonlyMap<string, string>): Item[] {
  const items: Item[] = [];
  const calls = new Map<string, number>();
  for (const message of messages) {
    const text = textOf(message);
    if (message.role === 'tool') {
      const place = calls.get(message.tool_call_id ?? '');
      const call = place === undefined ? undefined : items[place];
      if (place !== undefined && call?.kind === 'call') {
        items[place] = { ...call, state: 'done', result: { content: text, isError: message.is_error ?? false } };
      }
    } else if (message.role === 'assistant') {
      if (text || message.reasoning) {
        items.push({ kind: 'said', id: message.id, text, reasoning: message.reasoning ?? '', complete: true });
      }
      for (const call of message.tool_calls ?? []) {
        calls.set(call.id, items.length);
        const printedArgs = args.get(call.id) ?? '';
        items.push({ kind: 'call', id: call.id, name: call.name, args: printedArgs, state: 'requested', attempt: 1 });
      }
    } else if (message.role === 'system') {
      items.push({ kind: 'note', id: message.id, tone: 'quiet', text });
    } else {
      items.push({ kind: 'asked', id: message.id, text });
    }
  }
  return items;
}
