import { expect, test } from 'vitest';
import { fromSearch, part, toSearch, withPart } from '../src/lib/fleet/address-bar.ts';
import type { Query } from '../src/lib/fleet/live-index.ts';

const plain: Query = { text: '', chosen: {}, sort: 'name', descending: false };

test('a plain query leaves the address bar as it was', () => {
  expect(toSearch(plain, plain)).toBe('');
});

test('a query comes back from the address bar', () => {
  const query: Query = {
    text: 'ann & <b>',
    chosen: { state: ['registered', 'lagged'], server: ['ber,lin', 'a\\b'], driver: [] },
    sort: 'trip',
    descending: true,
  };
  const search = toSearch(query, plain);
  expect(fromSearch(search, ['state', 'server', 'driver'], plain)).toEqual(query);
});

test('it is written for people to read', () => {
  const query = { ...plain, chosen: { state: ['registered', 'lagged'] }, sort: 'since', descending: true };
  expect(toSearch(query, plain)).toBe('?state=registered,lagged&sort=-since');
});

test('a table that is sorted downwards at first can be sorted upwards', () => {
  const down: Query = { ...plain, sort: 'duration', descending: true };
  const up = { ...down, descending: false };
  expect(fromSearch(toSearch(up, down), [], down)).toEqual(up);
});

test('another part comes and goes beside the query', () => {
  const search = withPart('?state=registered,lagged&sort=-since', 'peer', 'PJSIP/203 & co');
  expect(search).toBe('?state=registered,lagged&sort=-since&peer=PJSIP/203+%26+co');
  expect(part(search, 'peer')).toBe('PJSIP/203 & co');
  expect(withPart(search, 'peer', null)).toBe('?state=registered,lagged&sort=-since');
  expect(withPart('?peer=a', 'peer', null)).toBe('');
});
