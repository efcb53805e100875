/** A query to and from the address bar, so that a view can be kept, sent and gone back to. */

import type { Query } from './live-index.ts';

export function toSearch(query: Query, plain: Query): string {
  const search = new URLSearchParams();
  if (query.text) search.set('q', query.text);
  for (const [facet, values] of Object.entries(query.chosen))
    if (values.length > 0) search.set(facet, values.map(escapeComma).join(','));
  if (query.sort !== plain.sort || query.descending !== plain.descending)
    search.set('sort', (query.descending ? '-' : '') + query.sort);
  const text = search.toString().replaceAll('%2C', ',');
  return text ? `?${text}` : '';
}

export function fromSearch(search: string, facets: readonly string[], plain: Query): Query {
  const params = new URLSearchParams(search);
  const sort = params.get('sort') ?? (plain.descending ? '-' : '') + plain.sort;
  return {
    text: params.get('q') ?? '',
    chosen: Object.fromEntries(facets.map((facet) => [facet, values(params.get(facet))])),
    sort: sort.replace(/^-/, ''),
    descending: sort.startsWith('-'),
  };
}

/** Servers may be named with a comma; it is written `\,`. */
function escapeComma(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}

function values(text: string | null): string[] {
  if (!text) return [];
  return (text.match(/(?:\\.|[^,\\])+/gs) ?? []).map((value) => value.replace(/\\(.)/gs, '$1'));
}
