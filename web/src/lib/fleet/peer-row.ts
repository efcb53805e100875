/** A phone or trunk as one row, whichever servers it is on. Rows are never changed, only replaced. */

import type { Device, Driver, Freshness, Mailbox, Peer, Registration } from '../api/types.ts';
import { naturalKey } from '../text/natural.ts';
import { DEVICES, REGISTRATIONS } from './words.ts';

/** What one server says of the peer. */
export interface PeerEntry {
  server: string;
  peer: Peer;
  mailbox: Mailbox | null;
  registrationFresh: Freshness;
  deviceFresh: Freshness;
  mailboxFresh: Freshness;
  connected: boolean;
}

export interface PeerRow {
  key: string;
  driver: Driver;
  name: string;
  /** Its place among names. */
  order: string;
  trunk: boolean;
  callerId: string | null;
  registration: Registration;
  registrationFresh: Freshness;
  sinceMs: number | null;
  device: Device;
  deviceFresh: Freshness;
  address: string | null;
  contacts: number;
  userAgent: string | null;
  roundTripUs: number | null;
  /** `null` where the peer has no mailbox that we know of. */
  voicemailNew: number | null;
  voicemailOld: number | null;
  voicemailFresh: Freshness;
  /** The leading server first. */
  entries: readonly PeerEntry[];
  /** What the search looks through. */
  haystack: string;
}

export function peerKey(driver: string, name: string): string {
  return `${driver}/${name}`;
}

const registrationRank = new Map(REGISTRATIONS.map((state, at) => [state, at]));
const deviceRank = new Map(DEVICES.map((state, at) => [state, at]));

export function peerRow(key: string, entries: PeerEntry[]): PeerRow {
  if (entries.length > 1) entries.sort(leads);
  const lead = entries[0]!;
  const { peer } = lead;
  const busiest = entries.length > 1 ? entries.reduce(busier) : lead;
  const mail = entries.find((entry) => entry.mailbox !== null);
  const told = <T>(pick: (peer: Peer) => T | null): T | null => {
    for (const entry of entries) {
      const value = pick(entry.peer);
      if (value !== null) return value;
    }
    return null;
  };
  const callerId = told((peer) => peer.caller_id);
  const address = peer.address;
  const userAgent = peer.user_agent;
  return {
    key,
    driver: peer.driver,
    name: peer.name,
    order: naturalKey(peer.name),
    trunk: entries.some((entry) => entry.peer.trunk),
    callerId,
    registration: peer.registration,
    registrationFresh: lead.registrationFresh,
    sinceMs: peer.since_ms,
    device: busiest.peer.device,
    deviceFresh: busiest.deviceFresh,
    address,
    contacts: entries.reduce((sum, entry) => sum + entry.peer.contacts, 0),
    userAgent,
    roundTripUs: peer.round_trip_us,
    voicemailNew: mail?.mailbox?.new ?? null,
    voicemailOld: mail?.mailbox?.old ?? null,
    voicemailFresh: (mail ?? lead).mailboxFresh,
    entries,
    haystack: [key, callerId, address, userAgent, ...entries.map((entry) => entry.server)]
      .filter((text) => text !== null)
      .join('\n')
      .toLowerCase(),
  };
}

/** The best registration leads; of equals the live one, then the newest, then by the server's name. */
function leads(a: PeerEntry, b: PeerEntry): number {
  return (
    registrationRank.get(a.peer.registration)! - registrationRank.get(b.peer.registration)! ||
    Number(b.registrationFresh.is === 'live') - Number(a.registrationFresh.is === 'live') ||
    (b.peer.since_ms ?? 0) - (a.peer.since_ms ?? 0) ||
    (a.server < b.server ? -1 : 1)
  );
}

/** What a phone does now is what a live server says; of two, the busier. */
function busier(a: PeerEntry, b: PeerEntry): PeerEntry {
  const live = Number(b.deviceFresh.is === 'live') - Number(a.deviceFresh.is === 'live');
  if (live !== 0) return live > 0 ? b : a;
  return deviceRank.get(b.peer.device)! < deviceRank.get(a.peer.device)! ? b : a;
}
