/** Calls that are over, page by page from the latest on, and what their table says of each. */

import type { PastCall, PastParty } from '../api/types.ts';
import { exactTime, isoTime, stopwatch } from '../text/time.ts';
import { partyText } from './call-row.ts';
import { DIRECTION_WORD } from './words.ts';

export interface PastCallRow {
  key: string;
  call: PastCall;
  from: string;
  to: string;
  lastedMs: number;
  haystack: string;
}

/** The pages so far. It is replaced, never changed. */
export interface PastCallPages {
  rows: readonly PastCallRow[];
  /** Whether the hub has no older ones. */
  all: boolean;
}

export const NO_PAGES: PastCallPages = { rows: [], all: false };

/**
 * From when on the next page is to go back. Calls of the very moment at which a page ends are asked for again,
 * for some of them may have had no room in it.
 */
export function nextBefore({ rows }: PastCallPages): number | null {
  const last = rows.at(-1);
  return last ? last.call.began_ms + 1 : null;
}

/** The pages with one more, of which `limit` were asked for. */
export function withPage(pages: PastCallPages, page: readonly PastCall[], limit: number): PastCallPages {
  const known = new Set(pages.rows.map(({ key }) => key));
  const added = page.map(pastCallRow).filter(({ key }) => !known.has(key));
  return { rows: [...pages.rows, ...added], all: page.length < limit || added.length === 0 };
}

export function pastCallRow(call: PastCall): PastCallRow {
  const from = pastPartyText(call.from);
  const to = pastPartyText(call.to);
  const texts = [call.server, from, to, call.from[2], call.to[2], DIRECTION_WORD[call.direction]];
  return {
    key: `${call.server}\n${call.linkedid}`,
    call,
    from,
    to,
    lastedMs: Math.max(0, call.ended_ms - call.began_ms),
    haystack: texts
      .filter((text) => text !== null)
      .join('\n')
      .toLowerCase(),
  };
}

/** Those in which each word of `text` is. */
export function pastCallsWith(rows: readonly PastCallRow[], text: string): readonly PastCallRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter(({ haystack }) => words.every((word) => haystack.includes(word)));
}

export function answeredWord(call: PastCall): string {
  if (call.answered) return 'Answered';
  return call.end_seen ? 'Not answered' : 'Not seen answered';
}

/** How long it lasted; one that was not seen to end may have lasted longer. */
export function lastedText({ call, lastedMs }: PastCallRow): string {
  return (call.end_seen ? '' : '≥ ') + stopwatch(lastedMs);
}

export function endedNote({ end_seen, ended_ms }: PastCall): string {
  const at = exactTime(ended_ms);
  return end_seen ? `Until ${at}` : `It was there last at ${at}; nobody saw it end`;
}

export const PAST_CALL_HEADS = [
  'Time',
  'Server',
  'Direction',
  'From',
  'To',
  'Answer',
  'Duration',
  'End',
] as const;

/** A row of a saved table. */
export function pastCallCells({ call, from, to, lastedMs }: PastCallRow): string[] {
  const began = isoTime(call.began_ms);
  const direction = DIRECTION_WORD[call.direction];
  const end = call.end_seen ? 'Seen' : 'Not seen';
  return [began, call.server, direction, from, to, answeredWord(call), stopwatch(lastedMs), end];
}

function pastPartyText([number = null, name = null, peer = null]: PastParty): string {
  return partyText({ number, name, peer });
}
