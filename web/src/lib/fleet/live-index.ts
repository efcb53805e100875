/**
 * Rows that match a query, in order, with counts beside each choice; kept up as rows change.
 *
 * A change costs one pass of copying pointers and a binary search for each changed row. Only a new query
 * sorts everything. The count beside a choice says how many rows there would be with it, everything else
 * staying as it is: so a row counts for a facet if no *other* facet and not the text rules it out.
 */

export interface Facet<R> {
  id: string;
  valuesOf(row: R): readonly string[];
  /** Whether a row is live, if its choices are to tell those that count such rows from those that count none. */
  isLive?(row: R): boolean;
}

export type SortValue = string | number | null;

export interface Column<R> {
  id: string;
  value(row: R): SortValue;
}

export interface Query {
  text: string;
  /** Of each facet the chosen values; none means any. */
  chosen: Readonly<Record<string, readonly string[]>>;
  sort: string;
  descending: boolean;
}

interface Row {
  key: string;
  order: string;
  haystack: string;
}

/** What is remembered of a row, to take it out again. */
interface Placed<R> {
  row: R;
  /** A bit for each facet that rules the row out, and one for the text. */
  misses: number;
  values: readonly (readonly string[])[];
}

export class LiveIndex<R extends Row> {
  rows: R[] = [];
  readonly counts: Record<string, Map<string, number>> = {};
  /** How many of those counts are live, of facets that tell. */
  readonly liveCounts: Record<string, Map<string, number>> = {};

  #placed = new Map<string, Placed<R>>();
  #chosen: (ReadonlySet<string> | null)[] = [];
  #words: string[] = [];
  #compare: (a: R, b: R) => number = byOrder;

  constructor(
    private readonly facets: readonly Facet<R>[],
    private readonly columns: readonly Column<R>[],
  ) {
    for (const facet of facets) {
      this.counts[facet.id] = new Map();
      if (facet.isLive) this.liveCounts[facet.id] = new Map();
    }
  }

  get known(): number {
    return this.#placed.size;
  }

  rebuild(all: Iterable<R>, query: Query): void {
    this.#chosen = this.facets.map(({ id }) => {
      const values = query.chosen[id] ?? [];
      return values.length > 0 ? new Set(values) : null;
    });
    this.#words = query.text.toLowerCase().split(/\s+/).filter(Boolean);
    this.#compare = comparison(
      this.columns.find(({ id }) => id === query.sort),
      query.descending,
    );

    this.#placed.clear();
    for (const counts of [this.counts, this.liveCounts])
      for (const count of Object.values(counts)) count.clear();
    this.rows = [];
    for (const row of all) if (this.#place(row)) this.rows.push(row);
    this.rows.sort(this.#compare);
  }

  update(keys: Iterable<string>, rowOf: (key: string) => R | undefined): void {
    const leaving = new Set<R>();
    const coming: R[] = [];
    for (const key of keys) {
      const old = this.#placed.get(key);
      if (old) {
        this.#count(old, -1);
        this.#placed.delete(key);
        if (old.misses === 0) leaving.add(old.row);
      }
      const row = rowOf(key);
      if (row && this.#place(row)) coming.push(row);
    }
    if (leaving.size > 0 || coming.length > 0) this.rows = this.#merged(leaving, coming);
  }

  #merged(leaving: ReadonlySet<R>, coming: R[]): R[] {
    const kept = leaving.size > 0 ? this.rows.filter((row) => !leaving.has(row)) : this.rows;
    coming.sort(this.#compare);
    const merged: R[] = [];
    let from = 0;
    for (const row of coming) {
      const at = this.#placeOf(row, kept, from);
      for (; from < at; from += 1) merged.push(kept[from]!);
      merged.push(row);
    }
    for (; from < kept.length; from += 1) merged.push(kept[from]!);
    return merged;
  }

  #placeOf(row: R, rows: readonly R[], from: number): number {
    let low = from;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(rows[middle]!, row) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Takes a row into the counts; says whether it is shown. */
  #place(row: R): boolean {
    let misses = 0;
    const values = this.facets.map((facet, at) => {
      const own = facet.valuesOf(row);
      const chosen = this.#chosen[at];
      if (chosen && !own.some((value) => chosen.has(value))) misses |= 1 << at;
      return own;
    });
    if (!this.#words.every((word) => row.haystack.includes(word))) misses |= 1 << this.facets.length;
    const placed = { row, misses, values };
    this.#placed.set(row.key, placed);
    this.#count(placed, 1);
    return misses === 0;
  }

  #count({ row, misses, values }: Placed<R>, by: 1 | -1): void {
    this.facets.forEach((facet, at) => {
      if ((misses & ~(1 << at)) !== 0) return;
      add(this.counts[facet.id]!, values[at]!, by);
      if (facet.isLive?.(row)) add(this.liveCounts[facet.id]!, values[at]!, by);
    });
  }
}

function add(counts: Map<string, number>, values: readonly string[], by: 1 | -1): void {
  for (const value of values) {
    const count = (counts.get(value) ?? 0) + by;
    if (count === 0) counts.delete(value);
    else counts.set(value, count);
  }
}

function byOrder(a: Row, b: Row): number {
  if (a.order !== b.order) return a.order < b.order ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** Rows without a value come last, whichever way the others are sorted. */
function comparison<R extends Row>(column: Column<R> | undefined, descending: boolean) {
  const sign = descending ? -1 : 1;
  if (!column) return (a: R, b: R) => sign * byOrder(a, b);
  return (a: R, b: R): number => {
    const x = column.value(a);
    const y = column.value(b);
    if (x === y) return byOrder(a, b);
    if (x === null) return 1;
    if (y === null) return -1;
    return x < y ? -sign : sign;
  };
}
