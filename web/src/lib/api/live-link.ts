/**
 * Keeps a copy of the fleet up to date: a snapshot, then the hub's events from there on.
 *
 * The link is `live` only while the hub has spoken within {@link SILENCE_MAX_MS}. Everything else - a closed
 * stream, a gap, a computer that slept - ends in the same place: close, wait a little, resume from the last
 * event that was applied, or from a new snapshot if the hub no longer knows what came after it.
 *
 * An attempt may take its time, as a large snapshot over a slow wire does: it is given up, and what it asked for
 * with it, when nothing of that has come for as long.
 *
 * Time, timers and the stream are handed in, so that tests decide about all three.
 */

import { ApiError, type Patience } from './client.ts';
import type { Changes, Snapshot } from './types.ts';

/** The hub says something at least every 5 s; two words may be late, not more. */
export const SILENCE_MAX_MS = 12_000;
/** How often silence is looked for. */
export const WATCH_EVERY_MS = 1_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 15_000;

export interface Stream {
  addEventListener(type: string, listener: (event: { data?: string; lastEventId?: string }) => void): void;
  close(): void;
}

export interface Surroundings {
  now(): number;
  after(ms: number, run: () => void): unknown;
  cancel(timer: unknown): void;
  open(since: number): Stream;
  snapshot(patience: Patience): Promise<Snapshot>;
  /** Rejects with a 401 if nobody is logged in. */
  session(patience: Patience): Promise<unknown>;
}

export interface Listener {
  snapshot(snapshot: Snapshot): void;
  changes(changes: Changes): void;
  /** The hub's clock, with every word, and when that came by this browser's. */
  clock(now_ms: number, at: number): void;
  status(status: LinkStatus): void;
  ended(): void;
}

export interface LinkStatus {
  is: 'connecting' | 'live' | 'down';
  /** When the hub last said something, by this browser's clock; `null` before the first word. */
  wordAt: number | null;
  /** When the next try begins; `null` while one is under way. */
  retryAt: number | null;
}

export class LiveLink {
  #stream: Stream | null = null;
  #seq: number | null = null;
  #status: LinkStatus = { is: 'connecting', wordAt: null, retryAt: null };
  #retryMs = RETRY_FIRST_MS;
  #retryTimer: unknown = null;
  #watchTimer: unknown = null;
  /** Counts attempts: an answer to an older one is not listened to. */
  #attempt = 0;
  #trying = false;
  /** What the attempt has asked for. */
  #asked: AbortController | null = null;
  /** When the attempt last came a step further, be it by a piece of an answer. */
  #stepAt = 0;
  #stopped = true;

  constructor(
    private readonly around: Surroundings,
    private readonly listener: Listener,
  ) {}

  start(): void {
    this.#stopped = false;
    this.#watch();
    void this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#attempt += 1;
    this.#drop();
    this.around.cancel(this.#watchTimer);
  }

  /** Something happened that may have cost the link: the page is seen again, the network is back. */
  check(): void {
    if (this.#stopped) return;
    if (this.#status.is === 'live' && !this.#silent()) return;
    if (this.#trying && !this.#stuck()) return;
    this.#retryMs = RETRY_FIRST_MS;
    this.#drop();
    void this.#connect();
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#trying = true;
    this.#asked = new AbortController();
    this.#stepAt = this.around.now();
    this.#tell({ retryAt: null });
    let answeredAt: number | undefined;
    const patience = {
      signal: this.#asked.signal,
      heard: () => {
        if (attempt !== this.#attempt) return;
        this.#stepAt = this.around.now();
        answeredAt ??= this.#stepAt;
      },
    };
    try {
      if (this.#seq === null) {
        const snapshot = await this.around.snapshot(patience);
        if (attempt !== this.#attempt) return;
        this.#seq = snapshot.seq;
        this.listener.snapshot(snapshot);
        // It was taken when the answer began.
        this.#word(snapshot.now_ms, 'connecting', answeredAt);
      } else {
        // An EventSource does not tell a refusal from a dead wire; this request does.
        await this.around.session(patience);
        if (attempt !== this.#attempt) return;
      }
      this.#open(this.#seq);
    } catch (problem) {
      if (attempt !== this.#attempt) return;
      if (problem instanceof ApiError && problem.status === 401) this.#end();
      else this.#fail();
    }
  }

  #open(since: number): void {
    const stream = this.around.open(since);
    const attempt = this.#attempt;
    this.#stream = stream;
    this.#stepAt = this.around.now();
    const on = (type: string, hear: (data: string, id: string) => void) =>
      stream.addEventListener(type, (event) => {
        if (attempt === this.#attempt) hear(event.data ?? '', event.lastEventId ?? '');
      });
    on('open', () => this.#heard('live'));
    on('changes', (data, id) => this.#changes(data, id));
    on('tick', (data) => this.#word(read<{ now_ms: number }>(data).now_ms, 'live'));
    on('gap', () => this.#gap());
    on('bye', () => this.#end());
    on('error', () => this.#fail());
  }

  #changes(data: string, id: string): void {
    const batch = read<Changes>(data);
    const applied = this.#seq ?? 0;
    // A resumed stream may repeat what was applied already.
    const fresh = batch.changes.filter((change) => change.seq > applied);
    this.#seq = Math.max(applied, Number(id) || 0, fresh.at(-1)?.seq ?? 0);
    if (fresh.length > 0) this.listener.changes({ now_ms: batch.now_ms, changes: fresh });
    this.#word(batch.now_ms, 'live');
  }

  #gap(): void {
    this.#drop();
    this.#seq = null;
    void this.#connect();
  }

  #end(): void {
    this.stop();
    this.listener.ended();
  }

  #fail(): void {
    this.#drop();
    this.#attempt += 1;
    this.#trying = false;
    this.#retryTimer = this.around.after(this.#retryMs, () => void this.#connect());
    this.#tell({ is: 'down', retryAt: this.around.now() + this.#retryMs });
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #word(now_ms: number, is: 'connecting' | 'live', at = this.around.now()): void {
    this.listener.clock(now_ms, at);
    this.#heard(is, at);
  }

  #heard(is: 'connecting' | 'live', at = this.around.now()): void {
    if (is === 'live') {
      this.#trying = false;
      this.#retryMs = RETRY_FIRST_MS;
    }
    this.#tell({ is: is === 'live' ? 'live' : this.#status.is, wordAt: at });
  }

  #watch(): void {
    this.#watchTimer = this.around.after(WATCH_EVERY_MS, () => {
      this.#watch();
      const lost = this.#status.is === 'live' && this.#silent();
      if (this.#trying ? this.#stuck() : lost) this.#fail();
      // The snapshot after a gap is still on its way.
      else if (lost) this.#tell({ is: 'down' });
    });
  }

  /** Nothing comes of the attempt any more. */
  #stuck(): boolean {
    return this.around.now() - this.#stepAt > SILENCE_MAX_MS;
  }

  #silent(): boolean {
    const { wordAt } = this.#status;
    return wordAt === null || this.around.now() - wordAt > SILENCE_MAX_MS;
  }

  #drop(): void {
    this.#asked?.abort();
    this.#stream?.close();
    this.#stream = null;
    this.around.cancel(this.#retryTimer);
    this.#retryTimer = null;
  }

  #tell(news: Partial<LinkStatus>): void {
    this.#status = { ...this.#status, ...news };
    this.listener.status(this.#status);
  }
}

function read<T>(data: string): T {
  return JSON.parse(data) as T;
}
