import { describe, expect, test } from 'vitest';
import { LiveIndex, type Query } from '../src/lib/fleet/live-index.ts';
import { peerRow, type PeerRow } from '../src/lib/fleet/peer-row.ts';
import { PEER_COLUMNS, PEER_FACETS, PLAIN_PEERS } from '../src/lib/fleet/peer-view.ts';
import { LIVE } from '../src/lib/fleet/freshness.ts';
import type { Peer } from '../src/lib/api/types.ts';
import { peer } from './fixtures.ts';

function row(name: string, more: Partial<Peer> = {}, server = 'a'): PeerRow {
  const one = peer(name, more);
  return peerRow(`${one.driver}/${name}`, [
    {
      server,
      peer: one,
      mailbox: null,
      registrationFresh: LIVE,
      deviceFresh: LIVE,
      mailboxFresh: LIVE,
      connected: true,
    },
  ]);
}

function index(rows: PeerRow[], query: Partial<Query> = {}): LiveIndex<PeerRow> {
  const made = new LiveIndex<PeerRow>(PEER_FACETS, PEER_COLUMNS);
  made.rebuild(rows, { ...PLAIN_PEERS, ...query });
  return made;
}

const names = (made: LiveIndex<PeerRow>) => made.rows.map(({ name }) => name);

describe('order', () => {
  test('names are in natural order', () => {
    expect(names(index([row('10'), row('9'), row('b2'), row('B10')]))).toEqual(['9', '10', 'b2', 'B10']);
  });

  test('rows without a value come last, either way', () => {
    const rows = [row('1', { round_trip_us: 5 }), row('2'), row('3', { round_trip_us: 9 })];
    expect(names(index(rows, { sort: 'trip' }))).toEqual(['1', '3', '2']);
    expect(names(index(rows, { sort: 'trip', descending: true }))).toEqual(['3', '1', '2']);
  });

  test('states sort by how good they are', () => {
    const rows = [row('1', { registration: 'unknown' }), row('2', { registration: 'lagged' }), row('3')];
    expect(names(index(rows, { sort: 'state' }))).toEqual(['3', '2', '1']);
  });
});

test('of states it is told how many of those that are counted are live', () => {
  const stale = { ...row('1'), registrationFresh: { is: 'as_of', at_ms: 7 } as const };
  const made = index([stale, row('2'), row('3', { registration: 'lagged' })]);
  expect(made.counts['state']!.get('registered')).toBe(2);
  expect(made.liveCounts['state']!.get('registered')).toBe(1);
  made.update(['PJSIP/2'], () => ({ ...row('2'), registrationFresh: { is: 'unknown' } as const }));
  expect(made.liveCounts['state']!.get('registered')).toBeUndefined();
  expect(made.liveCounts['state']!.get('lagged')).toBe(1);
  expect(made.liveCounts['server']).toBeUndefined();
});

describe('filters', () => {
  const rows = [
    row('200', { caller_id: 'Ann <200>' }, 'a'),
    row('201', { caller_id: 'Bob <201>', registration: 'unreachable' }, 'b'),
    row('202', { registration: 'unreachable', device: 'unavailable' }, 'a'),
  ];

  test('every word must be found, whatever its case', () => {
    expect(names(index(rows, { text: 'ANN 200' }))).toEqual(['200']);
    expect(names(index(rows, { text: 'ann 201' }))).toEqual([]);
  });

  test('values of one filter add up, filters narrow each other', () => {
    const chosen = { state: ['registered', 'unreachable'], server: ['a'] };
    expect(names(index(rows, { chosen }))).toEqual(['200', '202']);
  });

  test('a count says how many there would be, everything else staying', () => {
    const made = index(rows, { chosen: { state: ['registered'], server: ['a'] } });
    expect(Object.fromEntries(made.counts['state']!)).toEqual({ registered: 1, unreachable: 1 });
    expect(Object.fromEntries(made.counts['server']!)).toEqual({ a: 1 });
    expect(Object.fromEntries(made.counts['driver']!)).toEqual({ PJSIP: 1 });
  });
});

describe('changes', () => {
  test('after many random changes rows, order and counts are those of a rebuild', () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 16_807) % 2_147_483_647) % below;
    const states = ['registered', 'unreachable', 'lagged'] as const;
    const some = () =>
      row(String(random(300)), { registration: states[random(3)]!, round_trip_us: random(50) || null });

    const queries: Partial<Query>[] = [
      {},
      { sort: 'trip', descending: true },
      { sort: 'state', chosen: { state: ['registered', 'lagged'] }, text: '1' },
    ];
    for (const query of queries) {
      const all = new Map<string, PeerRow>();
      const made = index([], query);
      for (let round = 0; round < 60; round += 1) {
        const touched = new Set<string>();
        for (let at = 0; at < 20; at += 1) {
          const one = some();
          touched.add(one.key);
          if (random(4) === 0) all.delete(one.key);
          else all.set(one.key, one);
        }
        made.update(touched, (key) => all.get(key));
      }
      const again = index([...all.values()], query);
      expect(names(made)).toEqual(names(again));
      expect(made.known).toBe(all.size);
      for (const facet of PEER_FACETS)
        expect(new Map([...made.counts[facet.id]!].sort())).toEqual(
          new Map([...again.counts[facet.id]!].sort()),
        );
    }
  });

  test('a row that did not change keeps its identity', () => {
    const [one, two] = [row('1'), row('2')];
    const made = index([one, two]);
    made.update(['PJSIP/2'], () => row('2', { device: 'busy' }));
    expect(made.rows[0]).toBe(one);
    expect(made.rows[1]).not.toBe(two);
  });
});
