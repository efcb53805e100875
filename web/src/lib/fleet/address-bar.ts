/** A query to and from the address bar, so that a view can be kept, sent and gone back to. */

import type { Query } from './live-index.ts';

export function toSearch(query: Query, plain: Query): string {
  const search = new URLSearchParams();
  if (query.text) search.set('q', query.text);
  for (const [facet, values] of Object.entries(query.chosen))
    if (values.length > 0) search.set(facet, values.map(escapeComma).join(','));
  if (query.sort !== plain.sort || query.descending !== plain.descending)
    search.set('sort', (query.descending ? '-' : '') + query.sort);
  return written(search);
}

/** A part of the address bar's query that is not of the rows' own. */
export function part(search: string, name: string): string | null {
  return new URLSearchParams(search).get(name);
}

/** The same query with that part, or without it. */
export function withPart(search: string, name: string, value: string | null): string {
  const params = new URLSearchParams(search);
  if (value === null) params.delete(name);
  else params.set(name, value);
  return written(params);
}

/** For people to read. */
function written(search: URLSearchParams): string {
  const text = search.toString().replaceAll('%2C', ',').replaceAll('%2F', '/');
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
