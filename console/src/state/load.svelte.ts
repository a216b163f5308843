// One thing that a page loads: its value, or why there is none. What is asked for last wins.
import { explain } from '../api/problem';

export class Load<T> {
  value = $state.raw<T | undefined>();
  error = $state<string | undefined>();
  busy = $state(false);
  private turn = 0;

  async run(work: () => Promise<T>): Promise<void> {
    const turn = (this.turn += 1);
    this.busy = true;
    try {
      const value = await work();
      if (turn !== this.turn) return;
      this.value = value;
      this.error = undefined;
    } catch (error) {
      if (turn === this.turn) this.error = explain(error);
    } finally {
      if (turn === this.turn) this.busy = false;
    }
  }

  /** Forgets the value, and any answer that is still on its way. */
  clear(): void {
    this.turn += 1;
    this.value = undefined;
    this.error = undefined;
    this.busy = false;
  }
}
