import { describe, expect, test } from 'vitest';
import type { Past } from '../src/lib/api/types.ts';
import { drawing, NARROWEST } from '../src/lib/fleet/past-drawing.ts';
import { heldSince, peerPast, shares } from '../src/lib/fleet/past.ts';

const FROM = 1_000;
const TO = 2_000;

function past(changes: [number, string, string?][], truncated = false) {
  const rows: Past['rows'] = changes.map(([at_ms, registration, address]) => ({
    at_ms,
    server: 'a',
    driver: 'PJSIP',
    name: '200',
    registration,
    address: address ?? null,
  }));
  return peerPast({ rows, truncated }, FROM, TO);
}

const told = ({ stretches }: ReturnType<typeof past>) =>
  stretches.map(({ registration, from_ms, to_ms }) => [registration, from_ms, to_ms]);

describe('since when it has been so', () => {
  test('it is the change into the state, whatever its address was meanwhile', () => {
    const made = past([
      [900, 'registered', 'a'],
      [1_200, 'unregistered'],
      [1_400, 'registered', 'a'],
      [1_600, 'registered', 'b'],
    ]);
    expect(heldSince(made, 'registered')).toBe(1_400);
  });

  test('it may be longer than the past goes back', () => {
    expect(heldSince(past([[900, 'registered']]), 'registered')).toBe('before');
  });

  test('a past that ends otherwise, or before now, does not tell', () => {
    expect(heldSince(past([[1_200, 'registered']]), 'lagged')).toBeNull();
    expect(heldSince(past([[1_200, 'registered']], true), 'registered')).toBeNull();
  });
});

describe('stretches', () => {
  test('what it was before goes on to the first change', () => {
    const made = past([
      [400, 'registered'],
      [1_300, 'unregistered'],
    ]);
    expect(told(made)).toEqual([
      ['registered', 1_000, 1_300],
      ['unregistered', 1_300, 2_000],
    ]);
    expect(made.stretches.map(({ before }) => before)).toEqual([true, false]);
  });

  test('before anything was written down nobody saw', () => {
    expect(told(past([[1_600, 'static']]))).toEqual([
      ['unknown', 1_000, 1_600],
      ['static', 1_600, 2_000],
    ]);
    expect(told(past([]))).toEqual([['unknown', 1_000, 2_000]]);
  });

  test('a server out of sight is neither registered nor unregistered', () => {
    const made = past([
      [900, 'registered'],
      [1_200, 'unknown'],
      [1_500, 'registered'],
    ]);
    expect(shares(made)).toEqual([
      { registration: 'registered', ms: 700 },
      { registration: 'unknown', ms: 300 },
    ]);
  });

  test('a word that only a newer hub knows is not guessed at', () => {
    expect(told(past([[900, 'asleep']]))).toEqual([['unknown', 1_000, 2_000]]);
  });

  test('what was cut off is not told to have gone on', () => {
    const made = past(
      [
        [900, 'registered'],
        [1_200, 'unreachable'],
        [1_250, 'registered'],
      ],
      true,
    );
    expect(made.toldUntil_ms).toBe(1_250);
    expect(told(made).at(-1)).toEqual(['unreachable', 1_200, 1_250]);
  });

  test('two changes of one moment leave the later, and the same again is no change', () => {
    const made = past([
      [1_100, 'unregistered'],
      [1_100, 'registered'],
      [1_400, 'registered'],
    ]);
    expect(told(made)).toEqual([
      ['unknown', 1_000, 1_100],
      ['registered', 1_100, 2_000],
    ]);
  });

  test('an address is told anew when it changes', () => {
    const made = past([
      [900, 'registered', '10.0.0.1'],
      [1_400, 'registered', '10.0.0.2'],
    ]);
    expect(made.stretches.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });
});

describe('the picture', () => {
  test('each state has its height, and all stand on the ground', () => {
    const made = past([
      [900, 'registered'],
      [1_500, 'unregistered'],
    ]);
    expect(drawing(made, 100, 20)).toEqual({
      wide: [
        { registration: 'registered', d: 'M0 0h50V20H0z' },
        { registration: 'unregistered', d: 'M50 16.8h50V20H50z' },
      ],
      cleared: '',
      narrow: [],
    });
  });

  test('an outage of a moment is wide enough to be seen, and is inside to the end', () => {
    const made = past([
      [900, 'registered'],
      [1_500, 'unreachable'],
      [1_501, 'registered'],
      [1_999, 'unreachable'],
    ]);
    const { narrow, cleared } = drawing(made, 100, 20);
    expect(narrow).toHaveLength(1);
    expect(narrow[0]!.registration).toBe('unreachable');
    expect(narrow[0]!.d).toBe(`M50 11.6h${NARROWEST}V20H50zM98 11.6h${NARROWEST}V20H98z`);
    expect(cleared).toBe(`M50 0h${NARROWEST}V20H50zM98 0h${NARROWEST}V20H98z`);
  });

  test('thousands of changes are not more than there is room for', () => {
    const changes = Array.from({ length: 10_000 }, (_, at): [number, string] => [
      1_000 + at / 10,
      at % 2 ? 'registered' : 'unreachable',
    ]);
    const { narrow } = drawing(past(changes), 100, 20);
    for (const { d } of narrow) expect(d.split('M').length).toBeLessThan(202);
  });
});
