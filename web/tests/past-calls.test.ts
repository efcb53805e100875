import { describe, expect, test } from 'vitest';
import type { PastCall } from '../src/lib/api/types.ts';
import {
  answeredWord,
  endedNote,
  lastedText,
  nextBefore,
  NO_PAGES,
  pastCallCells,
  pastCallRow,
  pastCallsWith,
  withPage,
} from '../src/lib/fleet/past-calls.ts';

function past(linkedid: string, began_ms: number, more: Partial<PastCall> = {}): PastCall {
  return {
    began_ms,
    ended_ms: began_ms + 65_000,
    end_seen: true,
    server: 'a',
    linkedid,
    direction: 'in',
    answered: true,
    from: ['200', 'Ann', 'PJSIP/200'],
    to: ['+49301', null, 'PJSIP/telekom'],
    ...more,
  };
}

const ids = ({ rows }: { rows: readonly { call: PastCall }[] }) => rows.map(({ call }) => call.linkedid);

describe('pages', () => {
  test('the first begins now, and one that is not full is the last', () => {
    expect(nextBefore(NO_PAGES)).toBeNull();
    expect(withPage(NO_PAGES, [past('1', 9)], 2)).toMatchObject({ all: true });
    expect(withPage(NO_PAGES, [], 2)).toEqual({ rows: [], all: true });
  });

  test('calls that began at the moment at which a page ends are not left out, nor shown twice', () => {
    const first = withPage(NO_PAGES, [past('1', 9), past('2', 8)], 2);
    expect(first.all).toBe(false);
    expect(nextBefore(first)).toBe(9);
    const second = withPage(first, [past('2', 8), past('3', 8)], 2);
    expect(ids(second)).toEqual(['1', '2', '3']);
    expect(ids(first)).toEqual(['1', '2']);
    expect(second.all).toBe(false);
  });

  test('a page with nothing new in it ends them', () => {
    const first = withPage(NO_PAGES, [past('1', 9), past('2', 9)], 2);
    expect(withPage(first, [past('1', 9), past('2', 9)], 2).all).toBe(true);
  });

  test('the same id on two servers is two calls', () => {
    const pages = withPage(NO_PAGES, [past('1', 9), past('1', 9, { server: 'b' })], 2);
    expect(new Set(pages.rows.map(({ key }) => key)).size).toBe(2);
  });
});

test('each word is looked for in names, numbers, peers and servers', () => {
  const rows = [past('1', 9), past('2', 8, { from: [null, null, 'PJSIP/300'], server: 'b' })].map(
    pastCallRow,
  );
  const found = (text: string) => ids({ rows: pastCallsWith(rows, text) });
  expect(found('')).toEqual(['1', '2']);
  expect(found('  ann  TELEKOM')).toEqual(['1']);
  expect(found('pjsip/300')).toEqual(['2']);
  expect(found('ann 300')).toEqual([]);
});

test('a saved row has what the table shows', () => {
  const row = pastCallRow(past('1', Date.UTC(2026, 4, 3), { answered: false }));
  expect(pastCallCells(row)).toEqual([
    '2026-05-03T00:00:00.000Z',
    'a',
    'In',
    'Ann <200>',
    '+49301',
    'Not answered',
    '1:05',
    'Seen',
  ]);
});

test('a call that nobody saw end lasted as long as it was seen, at least', () => {
  const row = pastCallRow(past('1', Date.UTC(2026, 4, 3), { end_seen: false }));
  expect(lastedText(row)).toBe('≥ 1:05');
  expect(endedNote(row.call)).toContain('nobody saw it end');
  expect(pastCallCells(row).slice(-2)).toEqual(['1:05', 'Not seen']);
  const ringing = past('2', 0, { answered: false, end_seen: false });
  expect(answeredWord(ringing)).toBe('Not seen answered');
});

test('a clock that was set back makes no call shorter than nothing', () => {
  expect(pastCallRow(past('1', 9, { ended_ms: 2 })).lastedMs).toBe(0);
});
