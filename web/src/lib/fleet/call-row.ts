/** A call as one row, with what its columns need worked out once. */

import type { Call, Freshness, Leg, Party } from '../api/types.ts';

export interface CallRow {
  key: string;
  server: string;
  call: Call;
  fresh: Freshness;
  connected: boolean;
  from: string;
  to: string;
  fromTrunk: boolean;
  toTrunk: boolean;
  order: string;
  haystack: string;
}

export function callKey(server: string, linkedid: string): string {
  return `${server}\n${linkedid}`;
}

export function callRow(server: string, call: Call, fresh: Freshness, connected: boolean): CallRow {
  const from = partyText(call.from);
  const to = partyText(call.to);
  const texts = [server, from, to, call.from.peer, call.to.peer, ...call.legs.map((leg) => leg.channel)];
  return {
    key: callKey(server, call.id),
    server,
    call,
    fresh,
    connected,
    from,
    to,
    fromTrunk: isTrunk(call.from, call.legs),
    toTrunk: isTrunk(call.to, call.legs),
    order: `${String(call.since_ms).padStart(16, '0')}${call.id}`,
    haystack: texts
      .filter((text) => text !== null)
      .join('\n')
      .toLowerCase(),
  };
}

/** `Ann <200>`, or what there is of it. */
export function partyText(party: Party): string {
  const { name, number, peer } = party;
  if (name && number && name !== number) return `${name} <${number}>`;
  return number || name || peer || '';
}

function isTrunk(party: Party, legs: readonly Leg[]): boolean {
  return party.peer !== null && legs.some((leg) => leg.trunk && leg.party.peer === party.peer);
}
