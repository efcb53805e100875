/** What is said beside something that is not live. */

import type { Freshness } from '../api/types.ts';
import { isoTime, shortTime } from '../text/time.ts';

/**
 * `linkStaleSince` is when this page last heard from the hub, if it hears nothing now: then nothing is live,
 * whatever it was.
 */
export function staleNote(fresh: Freshness, linkStaleSince: number | null, today: number): string | null {
  switch (fresh.is) {
    case 'live':
      return linkStaleSince === null ? null : `as of ${shortTime(linkStaleSince, today)}`;
    case 'as_of':
      return `as of ${shortTime(fresh.at_ms, today)}`;
    case 'unknown':
      return 'never heard';
    case 'not_offered':
      return null;
  }
}

/** Until when something is known to have been so: now, if it is live. */
export function knownUntil(fresh: Freshness, linkStaleSince: number | null, now: number): number {
  if (fresh.is === 'as_of') return fresh.at_ms;
  return linkStaleSince ?? now;
}

/** The head of the last column of a saved table, which tells what was not live when it was saved. */
export const NOT_LIVE = 'Not live, as of';

/** That column: empty for what is live. */
export function savedStale(fresh: Freshness, linkStaleSince: number | null): string {
  switch (fresh.is) {
    case 'live':
      return linkStaleSince === null ? '' : isoTime(linkStaleSince);
    case 'as_of':
      return isoTime(fresh.at_ms);
    case 'unknown':
      return 'never heard';
    case 'not_offered':
      return 'not offered';
  }
}
