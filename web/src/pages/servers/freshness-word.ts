/** How far something may be believed, in words. */

import type { Freshness } from '../../lib/api/types.ts';
import { shortTime } from '../../lib/text/time.ts';

export function freshnessWord(fresh: Freshness, today: number): string {
  switch (fresh.is) {
    case 'live':
      return 'live';
    case 'as_of':
      return `as of ${shortTime(fresh.at_ms, today)}`;
    case 'not_offered':
      return 'not offered';
    case 'unknown':
      return 'never heard';
  }
}
