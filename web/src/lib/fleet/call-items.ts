/** Calls and, below those that are opened, their legs: one list, so that all rows are of one height. */

import type { Leg } from '../api/types.ts';
import type { CallRow } from './call-row.ts';

export interface CallItem {
  key: string;
  row: CallRow;
  /** Of a leg's row. */
  leg: Leg | null;
  open: boolean;
}

/**
 * Keeps an item as long as its call is the same, so that what did not change is not drawn again.
 * Legs beyond those that the hub shows are left out; the call's row says how many there are.
 */
export class CallItems {
  #last = new Map<string, CallItem>();

  of(rows: readonly CallRow[], open: ReadonlySet<string>): CallItem[] {
    const items: CallItem[] = [];
    const kept = new Map<string, CallItem>();
    const put = (key: string, row: CallRow, leg: Leg | null, isOpen: boolean) => {
      const last = this.#last.get(key);
      const item = last?.row === row && last.open === isOpen ? last : { key, row, leg, open: isOpen };
      kept.set(key, item);
      items.push(item);
    };
    for (const row of rows) {
      const isOpen = open.has(row.key);
      put(row.key, row, null, isOpen);
      if (isOpen) for (const leg of row.call.legs) put(`${row.key}\n${leg.id}`, row, leg, false);
    }
    this.#last = kept;
    return items;
  }
}
