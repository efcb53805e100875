/** One second hand for the whole page, by the hub's clock; it rests while nobody looks. */

import { HubClock } from './fleet/hub-clock.ts';

class PageClock {
  /** The hub's time, renewed each second. */
  now = $state(Date.now());
  /** Some moment of the day that it is, renewed when another begins. */
  today = $state(Date.now());
  #hub = new HubClock();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#tick();
    document.addEventListener('visibilitychange', () => this.#tick());
  }

  /** The hub said `hub_ms` when it was `browser_ms` here. */
  heard(hub_ms: number, browser_ms: number): void {
    this.#hub.heard(hub_ms, browser_ms);
  }

  /** This browser's time as the hub would tell it. */
  hubTime(browser_ms: number): number {
    return this.#hub.now(browser_ms);
  }

  #tick = (): void => {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    this.now = this.#hub.now(Date.now());
    if (new Date(this.now).getDate() !== new Date(this.today).getDate()) this.today = this.now;
    this.#timer = setTimeout(this.#tick, 1000 - (this.now % 1000));
  };
}

export const clock = new PageClock();
