import { describe, expect, test } from 'vitest';
import { CallItems } from '../src/lib/fleet/call-items.ts';
import { callRow, partyText } from '../src/lib/fleet/call-row.ts';
import { LIVE, worse } from '../src/lib/fleet/freshness.ts';
import { HubClock } from '../src/lib/fleet/hub-clock.ts';
import { Fleet } from '../src/lib/fleet/store.ts';
import { Turns } from '../src/lib/fleet/turns.ts';
import { rowAfterKey } from '../src/lib/ui/grid-keys.ts';
import { Slots } from '../src/lib/ui/slots.ts';
import { knownUntil, savedStale, staleNote } from '../src/lib/ui/stale.ts';
import { OVERSCAN_ROWS, windowOf } from '../src/lib/ui/window-of.ts';
import { call, change, info, server, snapshot } from './fixtures.ts';

describe('the rows in sight', () => {
  test('are never more than fit, and never beyond the list', () => {
    expect(windowOf(0, 600, 30, 10_000)).toEqual({ start: 0, end: 20 + 2 * OVERSCAN_ROWS + 4 });
    expect(windowOf(299_400, 600, 30, 10_000).end).toBe(10_000);
    expect(windowOf(50_000, 600, 30, 3)).toEqual({ start: 3, end: 3 });
    expect(windowOf(-80, 600, 30, 0)).toEqual({ start: 0, end: 0 });
  });

  test('cover what is seen at any place', () => {
    for (let top = 0; top < 9_000; top += 7) {
      const { start, end } = windowOf(top, 601, 30, 10_000);
      expect(start * 30).toBeLessThanOrEqual(top);
      expect(end * 30).toBeGreaterThanOrEqual(top + 601);
    }
  });

  test('keep their slots while they stay, and pass them on when they leave', () => {
    const rows = ['a', 'b', 'c', 'd', 'e'].map((key) => ({ key }));
    const slots = new Slots<{ key: string }>();
    const slotOf = (start: number, end: number) =>
      Object.fromEntries(slots.assign(rows, start, end).map(({ row, slot }) => [row.key, slot]));
    expect(slotOf(0, 3)).toEqual({ a: 0, b: 1, c: 2 });
    expect(slotOf(1, 4)).toEqual({ b: 1, c: 2, d: 0 });
    expect(new Set(Object.values(slotOf(0, 5))).size).toBe(5);
  });
});

test('arrow keys stop at the ends', () => {
  expect(rowAfterKey('ArrowDown', -1, 5, 3)).toBe(0);
  expect(rowAfterKey('ArrowDown', 4, 5, 3)).toBe(4);
  expect(rowAfterKey('PageUp', 1, 5, 3)).toBe(0);
  expect(rowAfterKey('End', 0, 5, 3)).toBe(4);
  expect(rowAfterKey('ArrowDown', 0, 0, 3)).toBeNull();
  expect(rowAfterKey('x', 0, 5, 3)).toBeNull();
});

describe('what is not live does not look live', () => {
  test('a dead link makes everything as old as its last word', () => {
    expect(staleNote(LIVE, null, 0)).toBeNull();
    expect(staleNote(LIVE, 5_000, 5_000)).toMatch(/^as of /);
    expect(staleNote({ is: 'unknown' }, null, 0)).toBe('never heard');
  });

  test('a saved table says what was not live', () => {
    expect(savedStale(LIVE, null)).toBe('');
    expect(savedStale(LIVE, 0)).toBe('1970-01-01T00:00:00.000Z');
    expect(savedStale({ is: 'as_of', at_ms: 1_000 }, null)).toBe('1970-01-01T00:00:01.000Z');
  });

  test('the clock of a call stops with its last word', () => {
    expect(knownUntil(LIVE, null, 900)).toBe(900);
    expect(knownUntil(LIVE, 500, 900)).toBe(500);
    expect(knownUntil({ is: 'as_of', at_ms: 300 }, 500, 900)).toBe(300);
  });

  test('two parts are as believable as the worse one', () => {
    expect(worse(LIVE, { is: 'as_of', at_ms: 1 })).toEqual({ is: 'as_of', at_ms: 1 });
    expect(worse({ is: 'as_of', at_ms: 2 }, { is: 'as_of', at_ms: 1 })).toEqual({ is: 'as_of', at_ms: 1 });
    expect(worse({ is: 'unknown' }, LIVE)).toEqual({ is: 'unknown' });
    expect(worse({ is: 'not_offered' }, LIVE)).toEqual(LIVE);
  });
});

test('the hub’s clock is what its quickest word says, until it is set', () => {
  const clock = new HubClock();
  clock.heard(1_000, 0);
  clock.heard(1_900, 1_000);
  expect(clock.now(2_000)).toBe(3_000);
  clock.heard(60_000, 2_000);
  expect(clock.now(2_000)).toBe(60_000);
  clock.heard(3_000, 3_000);
  expect(clock.now(4_000)).toBe(4_000);
});

test('a party is told by name and number, or by what there is', () => {
  expect(partyText({ name: 'Ann', number: '200', peer: null })).toBe('Ann <200>');
  expect(partyText({ name: '200', number: '200', peer: null })).toBe('200');
  expect(partyText({ name: null, number: null, peer: 'PJSIP/x' })).toBe('PJSIP/x');
  expect(partyText({ name: null, number: null, peer: null })).toBe('');
});

test('an opened call is followed by its legs, and what stays the same is the same item', () => {
  const party = { name: null, number: '1', peer: null };
  const leg = (id: string) => ({
    channel: id,
    id,
    party,
    trunk: false,
    state: 6,
    on_hold: null,
    bridge: null,
  });
  const rows = [
    callRow('a', call('1', { legs: [leg('x'), leg('y')] }), LIVE, true),
    callRow('a', call('2'), LIVE, true),
  ];
  const items = new CallItems();
  const closed = items.of(rows, new Set());
  const open = items.of(rows, new Set([rows[0]!.key]));
  expect(open.map((item) => item.leg?.id ?? item.row.call.id)).toEqual(['1', 'x', 'y', '2']);
  expect(open[3]).toBe(closed[1]);
});

test('only servers that turned are spoken of', () => {
  const turns = new Turns();
  const fleet = new Fleet();
  fleet.replace(snapshot(server('a'), server('b')));
  expect(turns.since(fleet.servers)).toEqual([]);
  fleet.apply([change('a', 'server', info(undefined, { connected: false }))]);
  expect(turns.since(fleet.servers)).toEqual(['a is no longer connected.']);
  expect(turns.since(fleet.servers)).toEqual([]);
  fleet.apply([change('a', 'server', info())]);
  expect(turns.since(fleet.servers)).toEqual(['a is connected again.']);
});
