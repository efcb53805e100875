/**
 * The hub's clock, as far as a browser can know it. Durations are told by it, for browsers' clocks are wrong
 * by minutes and both ends of a duration come from the hub.
 */

/** A word later than the last by more than this was not just slow on its way: a clock was set. */
const STEP_MS = 2_000;

export class HubClock {
  #ahead: number | null = null;

  /** The hub said `hub_ms` when it was `browser_ms` here. Words arrive late, never early: the quickest is the best. */
  heard(hub_ms: number, browser_ms: number): void {
    const ahead = hub_ms - browser_ms;
    if (this.#ahead === null || ahead > this.#ahead || this.#ahead - ahead > STEP_MS) this.#ahead = ahead;
  }

  now(browser_ms: number): number {
    return browser_ms + (this.#ahead ?? 0);
  }
}
