// A thread's stored messages by run, so that a page can tell a run that it follows by its events instead.
import type { Message } from '../api/types';
import { type Item, itemsOf } from './transcript';

/** What one run was asked and what it answered, as stored. Messages of no run stand in exchanges of their own. */
export interface Exchange {
  id: string;
  runId: string | undefined;
  /** The last message of it that is stored: a fork can begin behind it. */
  lastMessage: string | undefined;
  asked: Item[];
  told: Item[];
}

/** The exchanges in order. `args` holds the calls' printed arguments. */
export function exchangesOf(messages: Message[], args: ReadonlyMap<string, string>): Exchange[] {
  const groups: Message[][] = [];
  for (const message of messages) {
    const group = groups.at(-1);
    if (group?.[0] && group[0].run_id === message.run_id) group.push(message);
    else groups.push([message]);
  }
  const used = new Set<string>();
  return groups.map((group) => {
    const runId = group[0]?.run_id ?? undefined;
    const id = runId !== undefined && !used.has(runId) ? runId : (group[0]?.id ?? '');
    used.add(id);
    const items = itemsOf(group, args);
    return {
      id,
      runId,
      lastMessage: group.at(-1)?.id,
      // The same names as a page gives what it has just asked, so that nothing is drawn anew when the store tells it.
      asked: items
        .filter(({ kind }) => kind === 'asked')
        .map((item, index) => (index === 0 ? { ...item, id: `asked-${id}` } : item)),
      told: items.filter(({ kind }) => kind !== 'asked'),
    };
  });
}
