/** A small fleet to test with. */

import type {
  Call,
  Change,
  Freshness,
  Link,
  Mailbox,
  Part,
  Peer,
  ServerInfo,
  ServerState,
  Snapshot,
} from '../src/lib/api/types.ts';

const PARTS: Part[] = [
  'facts',
  'pjsip',
  'contacts',
  'iax2',
  'sip',
  'devices',
  'calls',
  'mailboxes',
  'registrations_outbound',
];

export function info(fresh: Freshness = { is: 'live' }, more: Partial<ServerInfo> = {}): ServerInfo {
  return {
    connected: true,
    since_ms: 1_000,
    ami_version: '11.0.0',
    version: '22.10.1',
    system_name: null,
    booted: true,
    up_since_ms: 1_000,
    reload_since_ms: null,
    calls_processed: 0,
    calls: 0,
    peers: 0,
    peers_registered: 0,
    parts: Object.fromEntries(PARTS.map((part) => [part, fresh])) as ServerInfo['parts'],
    reconciled_ms: null,
    drift: 0,
    left_out: 0,
    requests_failed: 0,
    ...more,
  };
}

export const link: Link = {
  via: 'agent',
  state: 'up',
  since_ms: 1,
  error: null,
  address: '10.0.0.5:40122',
  agent_version: '0.1.0',
  round_trip_us: 900,
  load_milli: 420,
  cpus: 2,
};

export function peer(name: string, more: Partial<Peer> = {}): Peer {
  return {
    driver: 'PJSIP',
    name,
    trunk: false,
    caller_id: null,
    registration: 'registered',
    since_ms: null,
    device: 'idle',
    address: null,
    contacts: 1,
    user_agent: null,
    round_trip_us: null,
    mailbox: null,
    ...more,
  };
}

export function call(id: string, more: Partial<Call> = {}): Call {
  return {
    id,
    direction: 'internal',
    from: { number: '200', name: 'Ann', peer: 'PJSIP/200' },
    to: { number: '201', name: null, peer: 'PJSIP/201' },
    state: 'up',
    since_ms: 5_000,
    legs: [],
    legs_count: 2,
    ...more,
  };
}

export function server(
  name: string,
  peers: Peer[] = [],
  calls: Call[] = [],
  mailboxes: Mailbox[] = [],
  fresh: Freshness = { is: 'live' },
): ServerState {
  return { name, info: info(fresh), link, peers, calls, mailboxes, registrations_outbound: [] };
}

export function snapshot(...servers: ServerState[]): Snapshot {
  return { seq: 100, now_ms: 1_000_000, servers };
}

let seq = 1_000;

export function change(server: string, what: Change['what'], value: unknown): Change {
  seq += 1;
  return { seq, server, what, value } as Change;
}
