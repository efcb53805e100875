/**
 * Gives each row in sight a slot, and a row that comes into sight the slot of one that left: so scrolling
 * writes new text into rows that are there, which costs a tenth of making rows.
 *
 * A row that stays keeps its slot, wherever in the list it moves: what is focused in it stays focused.
 */

export interface Slotted<R> {
  slot: number;
  row: R;
  /** Its place in the whole list. */
  at: number;
}

export class Slots<R extends { key: string }> {
  #slots = new Map<string, number>();
  #next = 0;

  /** The rows from `start` to `end`, each with its slot. */
  assign(rows: readonly R[], start: number, end: number): Slotted<R>[] {
    const taken = new Map<string, number>();
    const shown: Slotted<R>[] = [];
    const without: Slotted<R>[] = [];
    for (let at = start; at < end; at += 1) {
      const row = rows[at]!;
      const slot = this.#slots.get(row.key);
      const slotted = { slot: slot ?? -1, row, at };
      shown.push(slotted);
      if (slot === undefined) without.push(slotted);
      else taken.set(row.key, slot);
    }
    const free: number[] = [];
    for (const [key, slot] of this.#slots) if (!taken.has(key)) free.push(slot);
    for (const slotted of without) {
      slotted.slot = free.shift() ?? this.#next++;
      taken.set(slotted.row.key, slotted.slot);
    }
    this.#slots = taken;
    return shown;
  }
}
