/**
 * What the hub says, as it says it: one type a schema of its OpenAPI document, and nothing else, so that
 * generated types can take this file's place. Names and meanings follow `crates/fleet/src/view.rs`.
 */

export type Role = 'viewer' | 'operator' | 'administrator';

export interface Session {
  user: string;
  role: Role;
  csrf: string;
  /** Whether the account asks for a code. Hubs that do not tell leave it out. */
  totp?: boolean;
}

export interface Problem {
  error: string;
  cure?: string;
  needs?: 'code';
}

export type Freshness =
  { is: 'unknown' } | { is: 'not_offered' } | { is: 'as_of'; at_ms: number } | { is: 'live' };

export type Part =
  | 'facts'
  | 'pjsip'
  | 'contacts'
  | 'iax2'
  | 'sip'
  | 'devices'
  | 'calls'
  | 'mailboxes'
  | 'registrations_outbound';

export type Parts = Record<Part, Freshness>;

export interface ServerInfo {
  connected: boolean;
  since_ms: number | null;
  ami_version: string | null;
  version: string | null;
  system_name: string | null;
  booted: boolean;
  up_since_ms: number | null;
  reload_since_ms: number | null;
  calls_processed: number | null;
  calls: number;
  peers: number;
  peers_registered: number;
  parts: Parts;
  reconciled_ms: number | null;
  drift: number;
  left_out: number;
  requests_failed: number;
}

export interface Link {
  via: 'agent' | 'ami';
  state: 'up' | 'down' | 'never';
  since_ms: number | null;
  error: string | null;
  address: string | null;
  agent_version: string | null;
  round_trip_us: number | null;
  /** Of the last minute, in thousandths; only an agent tells. */
  load_milli: number | null;
  cpus: number | null;
}

export type Driver = 'PJSIP' | 'IAX2' | 'SIP';

export type Registration = 'unknown' | 'registered' | 'lagged' | 'unreachable' | 'unregistered' | 'static';

export type Device =
  'unknown' | 'idle' | 'ringing' | 'in_use' | 'ring_in_use' | 'on_hold' | 'busy' | 'unavailable' | 'invalid';

export interface PeerId {
  driver: Driver;
  name: string;
}

export interface Peer extends PeerId {
  trunk: boolean;
  caller_id: string | null;
  registration: Registration;
  since_ms: number | null;
  device: Device;
  address: string | null;
  contacts: number;
  user_agent: string | null;
  round_trip_us: number | null;
  mailbox: string | null;
}

export interface OutboundId {
  driver: Driver;
  /** As whom. */
  user: string;
  /** Where. */
  at: string;
}

export type OutboundState = 'unknown' | 'registered' | 'asked' | 'rejected' | 'timed_out' | 'unregistered';

/** A registration of a server at another. */
export interface Outbound extends OutboundId {
  name: string | null;
  state: OutboundState;
  since_ms: number | null;
}

export interface Mailbox {
  id: string;
  new: number;
  old: number;
}

export type Direction = 'in' | 'out' | 'through' | 'internal';

export type CallState = 'dialling' | 'ringing' | 'up' | 'on_hold';

export interface Party {
  number: string | null;
  name: string | null;
  peer: string | null;
}

export interface Leg {
  channel: string;
  id: string;
  party: Party;
  trunk: boolean;
  state: number;
  on_hold: boolean | null;
  bridge: string | null;
}

export interface Call {
  id: string;
  direction: Direction;
  from: Party;
  to: Party;
  state: CallState;
  since_ms: number;
  legs: Leg[];
  legs_count: number;
}

export interface ServerState {
  name: string;
  info: ServerInfo;
  link: Link;
  peers: Peer[];
  calls: Call[];
  mailboxes: Mailbox[];
  registrations_outbound: Outbound[];
}

export interface Snapshot {
  seq: number;
  now_ms: number;
  servers: ServerState[];
}

interface ChangeOf<What extends string, Value> {
  seq: number;
  server: string;
  what: What;
  value: Value;
}

export type Change =
  | ChangeOf<'server', ServerInfo>
  | ChangeOf<'link', Link>
  | ChangeOf<'peer', Peer>
  | ChangeOf<'peer_gone', PeerId>
  | ChangeOf<'call', Call>
  | ChangeOf<'call_gone', string>
  | ChangeOf<'mailbox', Mailbox>
  | ChangeOf<'mailbox_gone', string>
  | ChangeOf<'outbound', Outbound>
  | ChangeOf<'outbound_gone', OutboundId>
  | ChangeOf<'server_gone', null>;

export interface Changes {
  now_ms: number;
  changes: Change[];
}

/** A peer became so; `unknown` when nobody saw it any more. */
export interface PastRow {
  at_ms: number;
  server: string;
  driver: string;
  name: string;
  registration: string;
  address: string | null;
}

/** The oldest first; the first may be from before the span that was asked for. */
export interface Past {
  rows: PastRow[];
  truncated: boolean;
}

/** Number, name, peer. */
export type PastParty = [string | null, string | null, string | null];

/** A call that is over. */
export interface PastCall {
  began_ms: number;
  ended_ms: number;
  server: string;
  linkedid: string;
  direction: Direction;
  answered: boolean;
  from: PastParty;
  to: PastParty;
}

export interface ActionDone {
  message: string;
}

export interface Variable {
  name: string;
  value: string | null;
  bytes: number;
  ttl_s: number | null;
  binary: boolean;
}

export interface CacheServer {
  address: string;
  state: 'ready' | 'healing' | 'lost' | 'slow' | 'down' | 'unresolved';
  errors: number;
  last_error: string | null;
  /** What is wrong and what to do, if anything is. */
  doubt: string | null;
}

export interface Variables {
  configured: boolean;
  variables: Variable[];
  truncated: boolean;
  servers: CacheServer[];
}

export interface SharedRegistration {
  peer: string;
  server: string;
  prefix: string;
  name: string;
  ttl_s: number | null;
}

export interface SharedRegistrations {
  configured: boolean;
  registrations: SharedRegistration[];
}

export interface User {
  name: string;
  role: Role;
  totp: boolean;
  created_ms: number;
  last_login_ms: number | null;
}

export interface Token {
  id: number;
  name: string;
  role: Role;
  created_ms: number;
  last_used_ms: number | null;
  expires_ms: number | null;
}

export interface NewToken {
  id: number;
  token: string;
}

export interface Agent {
  server: string;
  enrolled_ms: number;
  last_seen_ms: number | null;
}

export interface NewAgent {
  token: string;
  command: string;
}

export interface AuditEntry {
  id: number;
  at_ms: number;
  user: string;
  address: string;
  action: string;
  server: string | null;
  target: string;
  outcome: 'done' | 'refused' | 'failed';
  detail: string | null;
}

export interface Audit {
  entries: AuditEntry[];
}

export interface TotpOffer {
  secret: string;
  uri: string;
  qr_svg: string;
}
