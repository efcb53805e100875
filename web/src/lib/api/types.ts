/**
 * What the hub says, under the console's names for it. `schema.ts` is made from the hub's own description
 * (`npm run types`), so that what the hub says otherwise does not compile here.
 */
import type { components } from './schema.ts';

type Schema = components['schemas'];

export type Role = Schema['Role'];
export type Session = Schema['LoggedIn'];
export type Problem = Schema['Problem'];

export type Freshness = Schema['Freshness'];
export type Parts = Schema['Parts'];
export type Part = keyof Parts;
export type ServerInfo = Schema['ServerInfo'];
export type Link = Schema['Link'];
export type ServerState = Schema['ServerSnapshot'];
export type Snapshot = Schema['Now'];
export type Change = Schema['Change'];

/** What an event `changes` has. */
export interface Changes {
  now_ms: number;
  changes: Change[];
}

export type Driver = Schema['Driver'];
export type Registration = Schema['Registration'];
export type Device = Schema['Device'];
export type PeerId = Schema['PeerId'];
export type Peer = Schema['PeerView'];
export type OutboundId = Schema['OutboundId'];
export type OutboundState = Schema['OutboundState'];
export type Outbound = Schema['OutboundView'];
export type Mailbox = Schema['MailboxView'];
export type Direction = Schema['Direction'];
export type CallState = Schema['CallState'];
export type Party = Schema['Party'];
export type Leg = Schema['LegView'];
export type Call = Schema['CallView'];

export type ModuleRow = Schema['ModuleRow'];
export type PastRow = Schema['PeerRow'];
export type Past = Schema['Past'];
export type PastCall = Schema['CallRow'];
/** Number, name, peer. */
export type PastParty = PastCall['from'];
export type ActionDone = Schema['Said'];

export type Variable = Schema['Variable'];
export type CacheServer = Schema['Cache'];
export type Variables = Schema['List'];
export type SharedRegistrations = Schema['Registrations'];
export type SharedRegistration = SharedRegistrations['registrations'][number];

export type User = Schema['User'];
export type Token = Schema['TokenRow'];
export type NewToken = Schema['Made'];
export type Agent = Schema['AgentRow'];
export type NewAgent = Schema['Invited'];
export type AuditEntry = Schema['Entry'];
export type Audit = Schema['Lines'];
export type TotpOffer = Schema['Offer'];
