/** What the table of peers can be filtered and sorted by, and what a row is as text. */

import { isoTime } from '../text/time.ts';
import type { Column, Facet, Query } from './live-index.ts';
import type { PeerRow } from './peer-row.ts';
import { DEVICE_WORD, DEVICES, REGISTRATION_WORD, REGISTRATIONS } from './words.ts';

export const PLAIN_PEERS: Query = { text: '', chosen: {}, sort: 'name', descending: false };

export const PEER_FACETS: readonly Facet<PeerRow>[] = [
  {
    id: 'state',
    valuesOf: (row) => [row.registration],
    isLive: (row) => row.registrationFresh.is === 'live',
  },
  { id: 'use', valuesOf: (row) => [row.device] },
  { id: 'server', valuesOf: (row) => row.entries.map((entry) => entry.server) },
  { id: 'driver', valuesOf: (row) => [row.driver] },
  { id: 'voicemail', valuesOf: voicemail },
  { id: 'kind', valuesOf: (row) => [row.trunk ? 'trunk' : 'phone'] },
];

function voicemail(row: PeerRow): string[] {
  if (row.voicemailNew === null) return ['none'];
  const kinds: string[] = [];
  if (row.voicemailNew > 0) kinds.push('new');
  if ((row.voicemailOld ?? 0) > 0) kinds.push('old');
  return kinds.length > 0 ? kinds : ['empty'];
}

const registrationRank = new Map(REGISTRATIONS.map((state, at) => [state, at]));
const deviceRank = new Map(DEVICES.map((state, at) => [state, at]));
const folded = (text: string | null) => text?.toLowerCase() ?? null;

/** In the order in which they are shown. */
export const PEER_COLUMNS: readonly (Column<PeerRow> & { label: string; text: (row: PeerRow) => string })[] =
  [
    {
      id: 'state',
      label: 'State',
      value: (row) => registrationRank.get(row.registration)!,
      text: (row) => REGISTRATION_WORD[row.registration],
    },
    {
      id: 'use',
      label: 'Activity',
      value: (row) => deviceRank.get(row.device)!,
      text: (row) => DEVICE_WORD[row.device],
    },
    { id: 'name', label: 'Name', value: (row) => row.order, text: (row) => row.name },
    {
      id: 'caller',
      label: 'Caller ID',
      value: (row) => folded(row.callerId),
      text: (row) => row.callerId ?? '',
    },
    {
      id: 'server',
      label: 'Server',
      value: (row) => row.entries[0]!.server,
      text: (row) => row.entries.map((entry) => entry.server).join(' '),
    },
    { id: 'driver', label: 'Driver', value: (row) => row.driver, text: (row) => row.driver },
    { id: 'address', label: 'Address', value: (row) => row.address, text: (row) => row.address ?? '' },
    {
      id: 'agent',
      label: 'User agent',
      value: (row) => folded(row.userAgent),
      text: (row) => row.userAgent ?? '',
    },
    {
      id: 'trip',
      label: 'Round trip',
      value: (row) => row.roundTripUs,
      text: (row) => (row.roundTripUs === null ? '' : String(row.roundTripUs / 1000)),
    },
    {
      id: 'since',
      label: 'Since',
      value: (row) => row.sinceMs,
      text: (row) => (row.sinceMs === null ? '' : isoTime(row.sinceMs)),
    },
    {
      id: 'new',
      label: 'New',
      value: (row) => row.voicemailNew,
      text: (row) => row.voicemailNew?.toString() ?? '',
    },
    {
      id: 'old',
      label: 'Old',
      value: (row) => row.voicemailOld,
      text: (row) => row.voicemailOld?.toString() ?? '',
    },
  ];

export const PEER_CSV_LABEL: Record<string, string> = {
  trip: 'Round trip (ms)',
  new: 'Voicemail new',
  old: 'Voicemail old',
};
