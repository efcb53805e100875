/**
 * The fleet as the hub tells it, and the rows that pages show.
 *
 * Changes go into plain Maps and only mark what they touch; {@link Fleet.flush}, called once for each frame,
 * makes new rows of exactly that. So a burst of changes costs what it changed, not what there is.
 */

import type {
  Call,
  Change,
  Link,
  Mailbox,
  Outbound,
  OutboundId,
  Peer,
  ServerInfo,
  Snapshot,
} from '../api/types.ts';
import { callKey, callRow, type CallRow } from './call-row.ts';
import { registrationFreshness, sameParts } from './freshness.ts';
import { peerKey, peerRow, type PeerEntry, type PeerRow } from './peer-row.ts';
import { Totals } from './totals.ts';

export interface ServerEntry {
  name: string;
  info: ServerInfo;
  link: Link;
  peers: Map<string, Peer>;
  calls: Map<string, Call>;
  mailboxes: Map<string, Mailbox>;
  /** Which peers a mailbox belongs to. */
  mailboxPeers: Map<string, Set<string>>;
  /** Its registrations at other servers. */
  outbound: Map<string, Outbound>;
}

/** Every kind of change. A newer hub may know more of them than this page: those are passed over. */
const KINDS: Record<Change['what'], true> = {
  server: true,
  link: true,
  peer: true,
  peer_gone: true,
  call: true,
  call_gone: true,
  mailbox: true,
  mailbox_gone: true,
  outbound: true,
  outbound_gone: true,
};

/** What a flush made anew; `all` says that nothing of the old is left. */
export interface Flushed {
  all: boolean;
  peers: ReadonlySet<string>;
  calls: ReadonlySet<string>;
  servers: boolean;
}

export class Fleet {
  readonly servers = new Map<string, ServerEntry>();
  readonly peerRows = new Map<string, PeerRow>();
  readonly callRows = new Map<string, CallRow>();
  totals = new Totals();
  /** Whether a snapshot has come. */
  loaded = false;

  /** On which servers each peer is. */
  #homes = new Map<string, Set<string>>();
  #peersTouched = new Set<string>();
  #callsTouched = new Set<string>();
  #serversTouched = false;
  #replaced = false;

  get touched(): boolean {
    return (
      this.#replaced || this.#serversTouched || this.#peersTouched.size > 0 || this.#callsTouched.size > 0
    );
  }

  /** Forgets everything: another user may be next. */
  clear(): void {
    this.servers.clear();
    this.peerRows.clear();
    this.callRows.clear();
    this.#homes.clear();
    this.#peersTouched.clear();
    this.#callsTouched.clear();
    this.totals = new Totals();
    this.loaded = false;
    this.#replaced = true;
  }

  replace(snapshot: Snapshot): void {
    this.clear();
    for (const { name, info, link, peers, calls, mailboxes, registrations_outbound } of snapshot.servers) {
      const server = this.#server(name, info, link);
      for (const one of registrations_outbound) server.outbound.set(outboundKey(one), one);
      for (const mailbox of mailboxes) server.mailboxes.set(mailbox.id, mailbox);
      for (const peer of peers) this.#putPeer(server, peer);
      for (const call of calls) this.#putCall(server, call);
    }
    this.loaded = true;
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) this.#apply(change);
  }

  #apply(change: Change): void {
    if (!Object.hasOwn(KINDS, change.what)) return;
    const server = this.#known(change.server);
    switch (change.what) {
      case 'server':
        return this.#putInfo(server, change.value);
      case 'link':
        server.link = change.value;
        this.#serversTouched = true;
        return;
      case 'peer':
        return this.#putPeer(server, change.value);
      case 'peer_gone':
        return this.#dropPeer(server, peerKey(change.value.driver, change.value.name));
      case 'call':
        return this.#putCall(server, change.value);
      case 'call_gone':
        if (server.calls.delete(change.value)) this.#callsTouched.add(callKey(server.name, change.value));
        return;
      case 'mailbox':
        server.mailboxes.set(change.value.id, change.value);
        return this.#touchMailbox(server, change.value.id);
      case 'mailbox_gone':
        server.mailboxes.delete(change.value);
        return this.#touchMailbox(server, change.value);
      case 'outbound':
        server.outbound.set(outboundKey(change.value), change.value);
        this.#serversTouched = true;
        return;
      case 'outbound_gone':
        server.outbound.delete(outboundKey(change.value));
        this.#serversTouched = true;
        return;
    }
  }

  /** Makes the rows of what was touched since the last time. */
  flush(): Flushed {
    const flushed: Flushed = {
      all: this.#replaced,
      peers: this.#peersTouched,
      calls: this.#callsTouched,
      servers: this.#serversTouched || this.#replaced,
    };
    for (const key of this.#peersTouched) this.#makePeerRow(key);
    for (const key of this.#callsTouched) this.#makeCallRow(key);
    this.#peersTouched = new Set();
    this.#callsTouched = new Set();
    this.#serversTouched = false;
    this.#replaced = false;
    return flushed;
  }

  #makePeerRow(key: string): void {
    const old = this.peerRows.get(key);
    if (old) this.totals.peer(old, -1);
    const entries: PeerEntry[] = [];
    for (const name of this.#homes.get(key) ?? []) {
      const server = this.servers.get(name)!;
      const peer = server.peers.get(key)!;
      const { parts, connected } = server.info;
      entries.push({
        server: name,
        peer,
        mailbox: peer.mailbox === null ? null : (server.mailboxes.get(peer.mailbox) ?? null),
        registrationFresh: registrationFreshness(parts, peer.driver),
        deviceFresh: parts.devices,
        mailboxFresh: parts.mailboxes,
        connected,
      });
    }
    if (entries.length === 0) {
      this.peerRows.delete(key);
      return;
    }
    const row = peerRow(key, entries);
    this.totals.peer(row, 1);
    this.peerRows.set(key, row);
  }

  #makeCallRow(key: string): void {
    const old = this.callRows.get(key);
    if (old) this.totals.call(old, -1);
    const cut = key.indexOf('\n');
    const server = this.servers.get(key.slice(0, cut));
    const call = server?.calls.get(key.slice(cut + 1));
    if (!server || !call) {
      this.callRows.delete(key);
      return;
    }
    const row = callRow(server.name, call, server.info.parts.calls, server.info.connected);
    this.totals.call(row, 1);
    this.callRows.set(key, row);
  }

  #known(name: string): ServerEntry {
    return this.servers.get(name) ?? this.#server(name, unheardInfo(), unheardLink());
  }

  #server(name: string, info: ServerInfo, link: Link): ServerEntry {
    const server: ServerEntry = {
      name,
      info,
      link,
      peers: new Map(),
      calls: new Map(),
      mailboxes: new Map(),
      mailboxPeers: new Map(),
      outbound: new Map(),
    };
    this.servers.set(name, server);
    this.#serversTouched = true;
    return server;
  }

  #putInfo(server: ServerEntry, info: ServerInfo): void {
    const { parts, connected } = server.info;
    server.info = info;
    this.#serversTouched = true;
    // Counters change all the time; only what is believed of rows makes them new.
    if (connected === info.connected && sameParts(parts, info.parts)) return;
    for (const key of server.peers.keys()) this.#peersTouched.add(key);
    for (const id of server.calls.keys()) this.#callsTouched.add(callKey(server.name, id));
  }

  #putPeer(server: ServerEntry, peer: Peer): void {
    const key = peerKey(peer.driver, peer.name);
    const old = server.peers.get(key);
    if (old?.mailbox !== peer.mailbox) {
      if (old?.mailbox) server.mailboxPeers.get(old.mailbox)?.delete(key);
      if (peer.mailbox) setIn(server.mailboxPeers, peer.mailbox).add(key);
    }
    server.peers.set(key, peer);
    if (!old) setIn(this.#homes, key).add(server.name);
    this.#peersTouched.add(key);
  }

  #dropPeer(server: ServerEntry, key: string): void {
    const old = server.peers.get(key);
    if (!old) return;
    if (old.mailbox) server.mailboxPeers.get(old.mailbox)?.delete(key);
    server.peers.delete(key);
    const homes = this.#homes.get(key);
    homes?.delete(server.name);
    if (homes?.size === 0) this.#homes.delete(key);
    this.#peersTouched.add(key);
  }

  #putCall(server: ServerEntry, call: Call): void {
    server.calls.set(call.id, call);
    this.#callsTouched.add(callKey(server.name, call.id));
  }

  #touchMailbox(server: ServerEntry, id: string): void {
    this.#serversTouched = true;
    for (const key of server.mailboxPeers.get(id) ?? []) this.#peersTouched.add(key);
  }
}

function outboundKey({ driver, user, at }: OutboundId): string {
  return `${driver}\n${user}\n${at}`;
}

function setIn(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key);
  if (!set) map.set(key, (set = new Set()));
  return set;
}

/** A server that a change names before its own record has come. */
function unheardInfo(): ServerInfo {
  const unknown = { is: 'unknown' } as const;
  return {
    connected: false,
    since_ms: null,
    ami_version: null,
    version: null,
    system_name: null,
    booted: false,
    up_since_ms: null,
    reload_since_ms: null,
    calls_processed: null,
    calls: 0,
    peers: 0,
    peers_registered: 0,
    parts: {
      facts: unknown,
      pjsip: unknown,
      contacts: unknown,
      iax2: unknown,
      sip: unknown,
      devices: unknown,
      calls: unknown,
      mailboxes: unknown,
      registrations_outbound: unknown,
    },
    reconciled_ms: null,
    drift: 0,
    left_out: 0,
    requests_failed: 0,
  };
}

function unheardLink(): Link {
  return {
    via: 'ami',
    state: 'never',
    since_ms: null,
    error: null,
    address: null,
    agent_version: null,
    round_trip_us: null,
    load_milli: null,
    cpus: null,
  };
}
