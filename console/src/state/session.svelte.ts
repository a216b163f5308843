// Who is signed in. The key lives in this tab's session storage and nowhere else.

import type { Whoami } from '../api/types';

const STORED = 'runyard.key';
/** Names the key that a sign-in link made for this tab alone. */
const STORED_OWN = 'runyard.own-key';

class Session {
  key = $state<string | undefined>(read());
  who = $state<Whoami | undefined>();
  /** Why the last session ended, for the sign-in page. */
  notice = $state<string | undefined>();

  start(key: string, who: Whoami, origin: 'typed' | 'made for this tab' = 'typed'): void {
    sessionStorage.setItem(STORED, key);
    if (origin === 'made for this tab') sessionStorage.setItem(STORED_OWN, who.key_id);
    else sessionStorage.removeItem(STORED_OWN);
    this.key = key;
    this.who = who;
    this.notice = undefined;
  }

  end(notice?: string): void {
    sessionStorage.removeItem(STORED);
    sessionStorage.removeItem(STORED_OWN);
    this.key = undefined;
    this.who = undefined;
    this.notice = notice;
  }

  /** The id of the key that was made for this tab, which nobody else has a use for. */
  get ownKey(): string | undefined {
    return sessionStorage.getItem(STORED_OWN) ?? undefined;
  }

  /** What the role may not do is not offered; the server decides all the same. */
  get mayRun(): boolean {
    return this.who?.role === 'owner' || this.who?.role === 'developer';
  }

  get mayDecide(): boolean {
    return this.mayRun || this.who?.role === 'approver';
  }

  get mayKeys(): boolean {
    return this.who?.role === 'owner';
  }
}

function read(): string | undefined {
  return sessionStorage.getItem(STORED) ?? undefined;
}

export const session = new Session();
