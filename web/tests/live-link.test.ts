import { describe, expect, test } from 'vitest';
import { ApiError, type Patience } from '../src/lib/api/client.ts';
import { LiveLink, type LinkStatus, SILENCE_MAX_MS, type Stream } from '../src/lib/api/live-link.ts';
import type { Change, Snapshot } from '../src/lib/api/types.ts';
import { change, snapshot } from './fixtures.ts';

class FakeStream implements Stream {
  closed = false;
  #listeners = new Map<string, (event: { data?: string; lastEventId?: string }) => void>();

  constructor(readonly since: number) {}

  addEventListener(type: string, listener: (event: { data?: string; lastEventId?: string }) => void): void {
    this.#listeners.set(type, listener);
  }

  close(): void {
    this.closed = true;
  }

  say(type: string, data: unknown = {}, id = ''): void {
    this.#listeners.get(type)?.({ data: JSON.stringify(data), lastEventId: id });
  }
}

/** A browser with a clock that the test turns. */
class Browser {
  time = 0;
  timers: { at: number; run: () => void }[] = [];
  streams: FakeStream[] = [];
  snapshots = 0;
  snapshotFails: unknown = null;
  /** Whether snapshots stay under way until `arrive` is called. */
  slow = false;
  arrive = () => {};
  /** Of the last request. */
  patience: Patience | null = null;
  sessionFails: unknown = null;
  statuses: LinkStatus[] = [];
  applied: Change[] = [];
  replaced: Snapshot[] = [];
  clocks: { now_ms: number; at: number }[] = [];
  ended = 0;
  link = new LiveLink(
    {
      now: () => this.time,
      after: (ms, run) => {
        const timer = { at: this.time + ms, run };
        this.timers.push(timer);
        return timer;
      },
      cancel: (timer) => (this.timers = this.timers.filter((one) => one !== timer)),
      open: (since) => {
        const stream = new FakeStream(since);
        this.streams.push(stream);
        return stream;
      },
      snapshot: async (patience) => {
        this.snapshots += 1;
        this.patience = patience;
        if (this.snapshotFails) throw this.snapshotFails;
        if (this.slow) await new Promise<void>((resolve) => (this.arrive = resolve));
        return snapshot();
      },
      session: async (patience) => {
        this.patience = patience;
        if (this.sessionFails) throw this.sessionFails;
      },
    },
    {
      snapshot: (taken) => this.replaced.push(taken),
      changes: ({ changes }) => this.applied.push(...changes),
      clock: (now_ms, at) => this.clocks.push({ now_ms, at }),
      status: (status) => this.statuses.push(status),
      ended: () => (this.ended += 1),
    },
  );

  get is(): string {
    return this.statuses.at(-1)!.is;
  }

  get stream(): FakeStream {
    return this.streams.at(-1)!;
  }

  /** Lets time pass, with all that it brings. */
  async pass(ms: number): Promise<void> {
    const until = this.time + ms;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((one) => one !== next);
      this.time = next.at;
      next.run();
      await settled();
    }
    this.time = until;
  }

  /** Lets time pass in which pieces of an answer come. */
  async trickle(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 4_000) {
      this.patience!.heard();
      await this.pass(4_000);
    }
  }
}

const settled = () => new Promise<void>((resolve) => setTimeout(resolve));
const down = new ApiError(0, 'down', '');
const unauthorised = new ApiError(401, 'no', '');

async function started(): Promise<Browser> {
  const browser = new Browser();
  browser.link.start();
  await settled();
  browser.stream.say('open');
  return browser;
}

function batch(browser: Browser, ...changes: Change[]): void {
  browser.stream.say('changes', { now_ms: 1, changes }, String(changes.at(-1)!.seq));
}

test('a snapshot comes first, and the events after it', async () => {
  const browser = await started();
  expect(browser.replaced).toHaveLength(1);
  expect(browser.stream.since).toBe(100);
  expect(browser.is).toBe('live');
});

describe('a link that is lost', () => {
  test('is down at once, and resumes after the last event that was applied', async () => {
    const browser = await started();
    const one = change('a', 'mailbox_gone', '200@default');
    batch(browser, one);
    browser.stream.say('error');
    expect(browser.is).toBe('down');
    expect(browser.statuses.at(-1)!.retryAt).toBe(1_000);
    await browser.pass(1_000);
    expect(browser.stream.since).toBe(one.seq);
    expect(browser.snapshots).toBe(1);
    browser.stream.say('open');
    expect(browser.is).toBe('live');
  });

  test('does not apply again what it had applied', async () => {
    const browser = await started();
    const [one, two] = [
      change('a', 'mailbox_gone', '200@default'),
      change('b', 'mailbox_gone', '200@default'),
    ];
    batch(browser, one);
    batch(browser, one, two);
    expect(browser.applied).toEqual([one, two]);
  });

  test('is tried for less and less often, and at once after it was good', async () => {
    const browser = await started();
    browser.sessionFails = down;
    browser.stream.say('error');
    const waits: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      const { retryAt } = browser.statuses.at(-1)!;
      waits.push(retryAt! - browser.time);
      await browser.pass(retryAt! - browser.time);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    browser.sessionFails = null;
    await browser.pass(15_000);
    browser.stream.say('open');
    browser.stream.say('error');
    expect(browser.statuses.at(-1)!.retryAt! - browser.time).toBe(1_000);
  });

  test('keeps the time of its last word', async () => {
    const browser = await started();
    await browser.pass(3_000);
    browser.stream.say('tick', { now_ms: 5 });
    await browser.pass(2_000);
    browser.stream.say('error');
    expect(browser.statuses.at(-1)!.wordAt).toBe(3_000);
  });
});

describe('silence', () => {
  test('of 12 s is a dead link, and an earlier word prevents that', async () => {
    const browser = await started();
    await browser.pass(SILENCE_MAX_MS - 1_000);
    browser.stream.say('tick', { now_ms: 5 });
    await browser.pass(SILENCE_MAX_MS - 1_000);
    expect(browser.is).toBe('live');
    const { stream } = browser;
    await browser.pass(2_500);
    expect(browser.is).toBe('down');
    expect(stream.closed).toBe(true);
  });

  test('of a day asleep is noticed when the page is seen again', async () => {
    const browser = await started();
    const { stream } = browser;
    browser.time += 86_400_000; // no timer ran
    browser.link.check();
    await settled();
    expect(stream.closed).toBe(true);
    expect(browser.streams).toHaveLength(2);
    browser.stream.say('open');
    expect(browser.is).toBe('live');
  });

  test('of a stream that never opens is noticed too', async () => {
    const browser = new Browser();
    browser.link.start();
    await settled();
    await browser.pass(SILENCE_MAX_MS + 2_000);
    expect(browser.is).toBe('down');
  });

  test('checking a link that is good does nothing', async () => {
    const browser = await started();
    browser.link.check();
    await settled();
    expect(browser.streams).toHaveLength(1);
  });
});

test('a gap is mended by a new snapshot', async () => {
  const browser = await started();
  const { stream } = browser;
  stream.say('gap');
  await settled();
  expect(stream.closed).toBe(true);
  expect(browser.snapshots).toBe(2);
  expect(browser.streams).toHaveLength(2);
});

test('a snapshot that fails is asked for again', async () => {
  const browser = new Browser();
  browser.snapshotFails = down;
  browser.link.start();
  await settled();
  expect(browser.is).toBe('down');
  browser.snapshotFails = null;
  await browser.pass(1_000);
  expect(browser.replaced).toHaveLength(1);
});

describe('a snapshot over a slow wire', () => {
  async function begun(): Promise<Browser> {
    const browser = new Browser();
    browser.slow = true;
    browser.link.start();
    await settled();
    return browser;
  }

  test('takes its time while something of it comes', async () => {
    const browser = await begun();
    await browser.trickle(60_000);
    browser.link.check();
    expect(browser.is).toBe('connecting');
    expect(browser.patience!.signal.aborted).toBe(false);
    browser.arrive();
    await settled();
    expect(browser.snapshots).toBe(1);
    expect(browser.replaced).toHaveLength(1);
    // The stream has as long to open as any other.
    await browser.pass(SILENCE_MAX_MS);
    browser.stream.say('open');
    expect(browser.is).toBe('live');
  });

  test('is given up when nothing more of it comes, before there is another', async () => {
    const browser = await begun();
    await browser.trickle(20_000);
    const { patience: first, arrive } = browser;
    await browser.pass(SILENCE_MAX_MS - 3_000);
    expect(browser.is).toBe('down');
    expect(browser.snapshots).toBe(1);
    expect(first!.signal.aborted).toBe(true);
    await browser.pass(1_000);
    expect(browser.snapshots).toBe(2);
    // What is left of the first is not taken for the second.
    const { patience: second } = browser;
    arrive();
    await browser.pass(SILENCE_MAX_MS - 2_000);
    first!.heard();
    expect(second!.signal.aborted).toBe(false);
    await browser.pass(4_000);
    expect(second!.signal.aborted).toBe(true);
    expect(browser.replaced).toEqual([]);
  });

  test('is as old as its beginning', async () => {
    const browser = await begun();
    await browser.pass(3_000);
    await browser.trickle(60_000);
    browser.arrive();
    await settled();
    expect(browser.clocks).toEqual([{ now_ms: 1_000_000, at: 3_000 }]);
    expect(browser.statuses.at(-1)!.wordAt).toBe(3_000);
  });

  test('after a gap does not keep what is shown from being said to be old', async () => {
    const browser = await started();
    browser.slow = true;
    browser.stream.say('gap');
    await settled();
    await browser.trickle(60_000);
    expect(browser.statuses.at(-1)).toEqual({ is: 'down', wordAt: 0, retryAt: null });
    expect(browser.snapshots).toBe(2);
    browser.arrive();
    await settled();
    browser.stream.say('open');
    expect(browser.is).toBe('live');
  });
});

describe('the end of a session', () => {
  test('is what the hub says goodbye for', async () => {
    const browser = await started();
    browser.stream.say('bye', { why: 'session' });
    expect(browser.ended).toBe(1);
    expect(browser.stream.closed).toBe(true);
    await browser.pass(60_000);
    expect(browser.streams).toHaveLength(1);
  });

  test('is noticed when the stream breaks and the hub knows nobody', async () => {
    const browser = await started();
    browser.sessionFails = unauthorised;
    browser.stream.say('error');
    await browser.pass(1_000);
    expect(browser.ended).toBe(1);
  });
});

test('a stopped link hears nothing more', async () => {
  const browser = await started();
  const { stream } = browser;
  browser.link.stop();
  expect(browser.patience!.signal.aborted).toBe(true);
  stream.say('changes', { now_ms: 1, changes: [change('a', 'mailbox_gone', '200@default')] }, '9999');
  expect(browser.applied).toEqual([]);
  await browser.pass(60_000);
  expect(browser.streams).toHaveLength(1);
});
