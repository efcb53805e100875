/** Something that a page asks for, again and again if it should stay fresh, and how old it is. */

import { untrack } from 'svelte';
import { clock } from '../clock.svelte.ts';

export class Fetched<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<unknown>(null);
  /** When `value` came, by the hub's clock. */
  at = $state<number | null>(null);
  /** Counts questions: an answer to an older one is not taken. */
  #asked = 0;
  #underWay = 0;

  constructor(
    private readonly ask: () => Promise<T>,
    everyMs: number | null = null,
  ) {
    $effect(() => {
      // What a question reads must not ask it again.
      untrack(() => void this.reload());
      if (everyMs === null) return;
      const timer = setInterval(() => {
        // A slow answer is waited for: one that is overtaken again and again would never be seen.
        if (!document.hidden && this.#underWay === 0) void this.reload();
      }, everyMs);
      const seen = () => {
        if (!document.hidden) void this.reload();
      };
      document.addEventListener('visibilitychange', seen);
      return () => {
        clearInterval(timer);
        document.removeEventListener('visibilitychange', seen);
      };
    });
  }

  async reload(): Promise<void> {
    const asked = ++this.#asked;
    this.#underWay += 1;
    try {
      const value = await this.ask();
      if (asked !== this.#asked) return;
      this.value = value;
      this.problem = null;
      this.at = clock.hubTime(Date.now());
    } catch (problem) {
      if (asked === this.#asked) this.problem = problem;
    } finally {
      this.#underWay -= 1;
    }
  }
}
