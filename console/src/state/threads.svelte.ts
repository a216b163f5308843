// The list of conversations beside them: pages of the server's list, newest first, filtered here by words.
import { calls } from '../api/calls';
import { explain } from '../api/problem';
import type { Thread } from '../api/types';

/** Pages that a search reads before it says that there is nothing. */
const SEARCH_PAGES_MAX = 20;

class Threads {
  all = $state.raw<Thread[]>([]);
  next = $state<string | null>(null);
  loaded = $state(false);
  busy = $state(false);
  error = $state<string | undefined>();
  agentType = $state('');
  words = $state('');
  readonly shown: Thread[] = $derived(this.matching());
  private turn = 0;

  /** Reads the first page again; later pages that were read stay. */
  async refresh(): Promise<void> {
    await this.read(undefined);
  }

  async more(): Promise<void> {
    if (this.next !== null) await this.read(this.next);
  }

  async filter(agentType: string): Promise<void> {
    this.agentType = agentType;
    this.all = [];
    this.loaded = false;
    await this.refresh();
  }

  /** Reads on while a search finds little. */
  async search(): Promise<void> {
    for (let page = 0; page < SEARCH_PAGES_MAX; page += 1) {
      if (!this.words.trim() || this.shown.length >= 10 || this.next === null || this.error !== undefined) return;
      await this.more();
    }
  }

  put(thread: Thread): void {
    this.all = [thread, ...this.all.filter(({ id }) => id !== thread.id)].sort(newestFirst);
  }

  drop(id: string): void {
    this.all = this.all.filter((thread) => thread.id !== id);
  }

  clear(): void {
    this.turn += 1;
    this.all = [];
    this.next = null;
    this.loaded = false;
    this.error = undefined;
  }

  private async read(cursor: string | undefined): Promise<void> {
    const turn = (this.turn += 1);
    this.busy = true;
    try {
      const page = await calls.threads({
        ...(this.agentType ? { agent_type: this.agentType } : {}),
        ...(cursor === undefined ? {} : { cursor }),
      });
      if (turn !== this.turn) return;
      const fresh = new Set(page.threads.map(({ id }) => id));
      const first = this.all.length === 0;
      this.all = [...page.threads, ...this.all.filter(({ id }) => !fresh.has(id))].sort(newestFirst);
      const next = page.next_cursor ?? null;
      if (cursor !== undefined || first || next === null) this.next = next;
      this.error = undefined;
      this.loaded = true;
    } catch (error) {
      if (turn === this.turn) this.error = explain(error);
    } finally {
      if (turn === this.turn) this.busy = false;
    }
  }

  private matching(): Thread[] {
    const wanted = this.words.trim().toLowerCase();
    if (!wanted) return this.all;
    return this.all.filter((thread) =>
      `${thread.title ?? ''} ${thread.last_message_preview ?? ''} ${thread.agent_type}`.toLowerCase().includes(wanted),
    );
  }
}

function newestFirst(a: Thread, b: Thread): number {
  return b.updated_at.localeCompare(a.updated_at);
}

export const threads = new Threads();
