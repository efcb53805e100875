/** A page's view of the fleet: a {@link LiveIndex}, kept up from flush to flush, its query in the address bar. */

import { untrack } from 'svelte';
import { fromSearch, part, toSearch, withPart } from '../fleet/address-bar.ts';
import { type Column, type Facet, LiveIndex, type Query } from '../fleet/live-index.ts';
import type { Flushed } from '../fleet/store.ts';
import { live } from '../live.svelte.ts';
import { router } from '../router.svelte.ts';

export interface Row {
  key: string;
  order: string;
  haystack: string;
}

export interface Shown<R> {
  rows: readonly R[];
  known: number;
}

/** Call it while a component is set up. */
export class Indexed<R extends Row> {
  shown = $state.raw<Shown<R>>({ rows: [], known: 0 });
  /** Grows with `shown`: the counts are Maps that change in place. */
  version = $state(0);
  /** The address bar's query but for the other part: text, so that rows are not made anew for that. */
  search = $derived.by(() =>
    this.other === null ? router.search : withPart(router.search, this.other, null),
  );
  query = $derived.by<Query>(() => fromSearch(this.search, this.facetIds, this.plain));

  readonly #index: LiveIndex<R>;
  private readonly facetIds: string[];

  constructor(
    facets: readonly Facet<R>[],
    columns: readonly Column<R>[],
    private readonly plain: Query,
    rows: ReadonlyMap<string, R>,
    touched: (flushed: Flushed) => ReadonlySet<string>,
    /** A part of the address bar's query that is the page's own, and stays whatever is asked of the rows. */
    private readonly other: string | null = null,
  ) {
    this.facetIds = facets.map(({ id }) => id);
    this.#index = new LiveIndex(facets, columns);
    $effect.pre(() => {
      const { query } = this;
      untrack(() => {
        this.#index.rebuild(rows.values(), query);
        this.#show();
      });
    });
    $effect(() =>
      live.onFlush((flushed) => {
        const keys = touched(flushed);
        if (flushed.all) this.#index.rebuild(rows.values(), this.query);
        else if (keys.size > 0) this.#index.update(keys, (key) => rows.get(key));
        else return;
        this.#show();
      }),
    );
  }

  change(change: Partial<Query>): void {
    const search = toSearch({ ...this.query, ...change }, this.plain);
    const { other } = this;
    router.replaceSearch(other === null ? search : withPart(search, other, part(router.search, other)));
  }

  choose(facet: string, values: readonly string[]): void {
    this.change({ chosen: { ...this.query.chosen, [facet]: values } });
  }

  toggle(facet: string, value: string): void {
    const chosen = this.query.chosen[facet] ?? [];
    this.choose(facet, chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value]);
  }

  sortBy(column: string): void {
    const { sort, descending } = this.query;
    this.change({ sort: column, descending: sort === column ? !descending : false });
  }

  count(facet: string, value: string): number {
    void this.version;
    return this.#index.counts[facet]?.get(value) ?? 0;
  }

  /** Whether any row that is counted is live; of facets that tell. */
  anyLive(facet: string, value: string): boolean {
    void this.version;
    return live.staleSince === null && (this.#index.liveCounts[facet]?.get(value) ?? 0) > 0;
  }

  /** All values that occur, for facets whose choices nobody knows beforehand. */
  values(facet: string): string[] {
    void this.version;
    const chosen = this.query.chosen[facet] ?? [];
    return [...new Set([...(this.#index.counts[facet]?.keys() ?? []), ...chosen])].sort();
  }

  get narrowed(): boolean {
    return this.query.text !== '' || Object.values(this.query.chosen).some((values) => values.length > 0);
  }

  #show(): void {
    this.shown = { rows: this.#index.rows, known: this.#index.known };
    this.version += 1;
  }
}
