/** The one fleet of this page, its link to the hub, and when pages hear of changes. */

import { EVENTS_PATH, hub } from './api/hub.ts';
import { LiveLink, type LinkStatus, type Stream } from './api/live-link.ts';
import { announcer } from './announce.svelte.ts';
import { clock } from './clock.svelte.ts';
import { Fleet, type Flushed } from './fleet/store.ts';
import { Turns } from './fleet/turns.ts';
import { session } from './session.svelte.ts';

class Live {
  readonly fleet = new Fleet();
  link = $state.raw<LinkStatus>({ is: 'connecting', wordAt: null, retryAt: null });
  /**
   * By the hub's clock when all this was last known to be so; `null` while it is. Derived, for each word from
   * the hub renews `link`, and every cell of every row reads this.
   */
  staleSince = $derived.by(() => {
    const { is, wordAt } = this.link;
    return is === 'live' || wordAt === null ? null : clock.hubTime(wordAt);
  });
  down = $derived(this.link.is === 'down');
  loaded = $state(false);
  /** Grows with each frame that brought changes; reading it is how a page asks to be told. */
  version = $state(0);
  serversVersion = $state(0);

  #listeners = new Set<(flushed: Flushed) => void>();
  #turns = new Turns();
  #frame = 0;
  #running: LiveLink | null = null;

  start(): void {
    this.#running?.stop();
    this.#running = new LiveLink(
      {
        now: () => Date.now(),
        after: (ms, run) => setTimeout(run, ms),
        cancel: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout> | undefined),
        open: (since) => new EventSource(`${EVENTS_PATH}?since=${since}`) as unknown as Stream,
        snapshot: (patience) => hub.state(patience),
        session: async (patience) => session.begin(await hub.session(patience)),
      },
      {
        snapshot: (snapshot) => {
          this.fleet.replace(snapshot);
          this.#schedule();
        },
        changes: ({ changes }) => {
          this.fleet.apply(changes);
          this.#schedule();
        },
        clock: (now_ms, at) => clock.heard(now_ms, at),
        status: (status) => this.#status(status),
        ended: () => session.end('Your session has ended. Log in again.'),
      },
    );
    this.#running.start();
  }

  stop(): void {
    this.#running?.stop();
    this.#running = null;
    this.fleet.clear();
    this.link = { is: 'connecting', wordAt: null, retryAt: null };
    this.#flush();
  }

  check = (): void => this.#running?.check();

  /** Calls back after each frame's changes, until the returned function is called. */
  onFlush(listener: (flushed: Flushed) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #status(status: LinkStatus): void {
    const before = this.link.is;
    this.link = status;
    if (before === 'live' && status.is === 'down') announcer.say('The link to the hub is down.');
    if (before === 'down' && status.is === 'live') announcer.say('The link to the hub is back.');
  }

  // Frames do not come while the page is hidden, and that is right: what piles up is one mark a row.
  #schedule(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.fleet.touched) return;
    const flushed = this.fleet.flush();
    this.loaded = this.fleet.loaded;
    this.version += 1;
    if (flushed.servers) {
      this.serversVersion += 1;
      const said = this.#turns.since(this.fleet.servers);
      if (said.length > 0) announcer.say(said.join(' '));
    }
    for (const listener of this.#listeners) listener(flushed);
  }
}

export const live = new Live();

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) live.check();
});
addEventListener('online', live.check);
addEventListener('pageshow', live.check);
addEventListener('focus', live.check);
