import { expect, test } from 'vitest';
import { loadOf } from '../src/lib/fleet/load.ts';

test('the load is told beside the processors that there are', () => {
  expect(loadOf({ load_milli: 420, cpus: 2 })).toEqual({ text: '0.42 of 2', over: false });
  expect(loadOf({ load_milli: 0, cpus: 16 })).toEqual({ text: '0.00 of 16', over: false });
});

test('it is too much only above their number', () => {
  expect(loadOf({ load_milli: 2_000, cpus: 2 })!.over).toBe(false);
  expect(loadOf({ load_milli: 2_010, cpus: 2 })).toEqual({ text: '2.01 of 2', over: true });
});

test('a load of nobody knows how many is no warning, and none is none', () => {
  expect(loadOf({ load_milli: 9_000, cpus: null })).toEqual({ text: '9.00', over: false });
  expect(loadOf({ load_milli: null, cpus: 2 })).toBeNull();
});
