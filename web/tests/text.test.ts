import { describe, expect, test } from 'vitest';
import { counted } from '../src/lib/text/count.ts';
import { csv } from '../src/lib/text/csv.ts';
import { naturalKey } from '../src/lib/text/natural.ts';
import {
  exactTime,
  isoSpan,
  isoTime,
  roundTrip,
  shortTime,
  span,
  stopwatch,
  timeOfDay,
} from '../src/lib/text/time.ts';
import { visible } from '../src/lib/text/visible.ts';

describe('what is shown of odd text', () => {
  test('control characters are escapes', () => {
    expect(visible('a\u0000b\tc\nd\u0007e\u001b[31m')).toBe('a\\0b\\tc\\nd\\u0007e\\u001b[31m');
  });

  test('characters that turn text around are escapes', () => {
    expect(visible('exe.\u202egnp\u202c \u2066x\u2069 \u200f')).toBe(
      'exe.\\u202egnp\\u202c \\u2066x\\u2069 \\u200f',
    );
  });

  test('invisible characters are escapes', () => {
    expect(visible('20\u200b0\ufeff\u00ad')).toBe('20\\u200b0\\ufeff\\u00ad');
  });

  test('half an emoji is an escape, a whole one is not', () => {
    expect(visible('\ud83d 😀 👩‍👧 \ude00')).toBe('\\ud83d 😀 👩‍👧 \\ude00');
  });

  test('markup, quotes and other scripts stay as they are', () => {
    const text = `<b>"O'Brien" & مكتب-دبي</b>`;
    expect(visible(text)).toBe(text);
  });
});

describe('tables for spreadsheets', () => {
  test('cells with commas and quotes are quoted', () => {
    expect(csv(['a', 'b'], [['x,y', 'say "hi"']])).toBe('\ufeffa,b\r\n"x,y","say ""hi"""\r\n');
  });

  test('control characters, line ends and what turns text around are written as they are shown', () => {
    expect(csv(['n'], [['Ann\u0007\r\n\u202e002\0']])).toBe('\ufeffn\r\nAnn\\u0007\\r\\n\\u202e002\\0\r\n');
  });

  test.each(['=1+1', '+49301', '-1', '@SUM(A1)', '\t=1', ' =1', '\r=1', '＝1', '\u00a0=1'])(
    'a cell that begins like the formula %j is text',
    (text) => {
      expect(csv([], [[text]]).split('\r\n', 2)[1]).toMatch(/^"?'/);
    },
  );

  test('what is no formula stays as it is', () => {
    expect(csv(['n'], [['Ann <200>'], ['200']])).toBe('\ufeffn\r\nAnn <200>\r\n200\r\n');
  });
});

describe('figures', () => {
  test('one is one, and thousands are told apart', () => {
    expect([0, 1, 2].map((count) => counted(count, 'call'))).toEqual(['0 calls', '1 call', '2 calls']);
    expect(counted(1204, 'address', 'addresses')).toBe(`${(1204).toLocaleString()} addresses`);
  });

  test('calls are timed like a stopwatch', () => {
    expect([0, 7_900, 61_000, 3_723_000, -5].map(stopwatch)).toEqual([
      '0:00',
      '0:07',
      '1:01',
      '1:02:03',
      '0:00',
    ]);
  });

  test('spans have two units at most', () => {
    expect([7_000, 720_000, 11_100_000, 792_000_000].map(span)).toEqual([
      '7 s',
      '12 min',
      '3 h 05 min',
      '9 d 4 h',
    ]);
  });

  test('round trips', () => {
    expect([800, 9_949, 9_950, 23_400, 999_499, 999_500].map(roundTrip)).toEqual([
      '0.8 ms',
      '9.9 ms',
      '10 ms',
      '23 ms',
      '999 ms',
      '1.00 s',
    ]);
  });

  test('durations for machines', () => {
    expect(isoSpan(61_500)).toBe('PT61S');
  });
});

describe('times', () => {
  const now = new Date(2026, 4, 3, 12).getTime();

  test('a time that Date cannot show is a word', () => {
    for (const shown of [timeOfDay, exactTime, isoTime, (at_ms: number) => shortTime(at_ms, now)]) {
      expect(shown(8.64e15 + 1)).toBe('far in the future');
      expect(shown(Number.MAX_VALUE)).toBe('far in the future');
      expect(shown(-8.64e15 - 1)).toBe('far in the past');
    }
  });

  test('the last one that it can show is a time', () => {
    expect(isoTime(8.64e15)).toBe('+275760-09-13T00:00:00.000Z');
    expect(exactTime(8.64e15)).toMatch(/^275760-09-1[23] /);
    expect(shortTime(8.64e15, now)).toContain('275760');
  });

  test('a day of the other half year has its year', () => {
    expect(shortTime(now, now)).toBe('12:00:00');
    expect(shortTime(new Date(2026, 5, 3, 12).getTime(), now)).not.toContain('2026');
    expect(shortTime(new Date(2027, 4, 3, 12).getTime(), now)).toContain('2027');
  });
});

test('numbers inside names are compared as numbers', () => {
  expect(
    ['trunk-10', 'Trunk-9', '200', '1000'].sort((a, b) => (naturalKey(a) < naturalKey(b) ? -1 : 1)),
  ).toEqual(['200', '1000', 'Trunk-9', 'trunk-10']);
});
