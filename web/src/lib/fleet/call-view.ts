/** What the table of calls can be filtered and sorted by, and what a row is as text. */

import type { CallRow } from './call-row.ts';
import type { Column, Facet, Query } from './live-index.ts';
import { CALL_STATE_WORD, CALL_STATES, DIRECTION_WORD } from './words.ts';

export const PLAIN_CALLS: Query = { text: '', chosen: {}, sort: 'duration', descending: true };

export const CALL_FACETS: readonly Facet<CallRow>[] = [
  {
    id: 'direction',
    valuesOf: (row) => [row.call.direction],
    isLive: (row) => row.fresh.is === 'live',
  },
  { id: 'state', valuesOf: (row) => [row.call.state] },
  { id: 'server', valuesOf: (row) => [row.server] },
];

const stateRank = new Map(CALL_STATES.map((state, at) => [state, at]));

export const CALL_COLUMNS: readonly (Column<CallRow> & { label: string; text: (row: CallRow) => string })[] =
  [
    {
      id: 'direction',
      label: 'Direction',
      value: (row) => row.call.direction,
      text: (row) => DIRECTION_WORD[row.call.direction],
    },
    { id: 'from', label: 'From', value: (row) => row.from.toLowerCase(), text: (row) => row.from },
    { id: 'to', label: 'To', value: (row) => row.to.toLowerCase(), text: (row) => row.to },
    {
      id: 'state',
      label: 'State',
      value: (row) => stateRank.get(row.call.state)!,
      text: (row) => CALL_STATE_WORD[row.call.state],
    },
    // The longest is the one that began first.
    { id: 'duration', label: 'Duration', value: (row) => -row.call.since_ms, text: () => '' },
    { id: 'server', label: 'Server', value: (row) => row.server, text: (row) => row.server },
  ];
