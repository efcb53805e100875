/** What the console asks of the hub, by name. Paths are written here and nowhere else. */

import { Client, SERVER_TIMEOUT_MS, type Patience } from './client.ts';
import type {
  ActionDone,
  Agent,
  Audit,
  ModuleRow,
  NewAgent,
  NewToken,
  Past,
  PastCall,
  PeerId,
  Role,
  Session,
  SharedRegistrations,
  Snapshot,
  Token,
  TotpOffer,
  User,
  Variables,
} from './types.ts';

export const client = new Client();

const part = encodeURIComponent;

export const EVENTS_PATH = '/api/events';

export const hub = {
  session: (patience?: Patience) => client.get<Session>('/api/session', patience),
  login: (user: string, password: string, code?: string) =>
    client.request<Session>('POST', '/api/login', { user, password, ...(code ? { code } : {}) }),
  logout: () => client.request<void>('POST', '/api/logout'),
  state: (patience: Patience) => client.get<Snapshot>('/api/state', patience),

  hangup: (server: string, channel: string) => act(server, 'hangup', { channel }),
  transfer: (server: string, channel: string, extension: string, context?: string) =>
    act(server, 'transfer', { channel, extension, ...(context ? { context } : {}) }),
  originate: (server: string, peer: string, extension: string, context?: string) =>
    act(server, 'originate', { peer, extension, ...(context ? { context } : {}) }),
  qualify: (server: string, peer: PeerId) => act(server, 'qualify', peer),

  modules: (server: string) =>
    client.get<ModuleRow[]>(`/api/servers/${part(server)}/modules`, SERVER_TIMEOUT_MS),

  /** What became of a peer from one moment to another. */
  past: (server: string, { driver, name }: PeerId, from_ms: number, to_ms: number) =>
    client.get<Past>(
      `/api/history/peers/${part(server)}/${driver}/${part(name)}?from=${from_ms}&to=${to_ms}`,
    ),
  pastCalls: (before_ms: number | null, limit: number) =>
    client.get<PastCall[]>(
      `/api/history/calls?limit=${limit}${before_ms === null ? '' : `&before=${before_ms}`}`,
    ),

  variables: (prefix: string, limit: number) =>
    client.get<Variables>(`/api/variables?prefix=${part(prefix)}&limit=${limit}`),
  setVariable: (name: string, value: string, ttl_s: number | null) =>
    client.request<void>('PUT', `/api/variables/${part(name)}`, { value, ...(ttl_s ? { ttl_s } : {}) }),
  deleteVariable: (name: string) => client.request<void>('DELETE', `/api/variables/${part(name)}`),
  registrations: () => client.get<SharedRegistrations>('/api/registrations'),

  users: () => client.get<User[]>('/api/users'),
  addUser: (name: string, password: string, role: Role) =>
    client.request<void>('POST', '/api/users', { name, password, role }),
  changeUser: (name: string, change: { password?: string; role?: Role; totp?: false }) =>
    client.request<void>('PATCH', `/api/users/${part(name)}`, change),
  deleteUser: (name: string) => client.request<void>('DELETE', `/api/users/${part(name)}`),

  tokens: () => client.get<Token[]>('/api/tokens'),
  addToken: (name: string, role: Role, days: number | null) =>
    client.request<NewToken>('POST', '/api/tokens', { name, role, ...(days ? { days } : {}) }),
  deleteToken: (id: number) => client.request<void>('DELETE', `/api/tokens/${id}`),

  agents: () => client.get<Agent[]>('/api/agents'),
  addAgent: (server: string) => client.request<NewAgent>('POST', '/api/agents', { server }),
  deleteAgent: (server: string) => client.request<void>('DELETE', `/api/agents/${part(server)}`),

  audit: (before: number | null, limit: number) =>
    client.get<Audit>(`/api/audit?limit=${limit}${before === null ? '' : `&before=${before}`}`),

  changePassword: (old: string, fresh: string) =>
    client.request<void>('POST', '/api/password', { old, new: fresh }),
  offerTotp: (password: string) => client.request<TotpOffer>('POST', '/api/totp', { password }),
  confirmTotp: (code: string) => client.request<void>('POST', '/api/totp/confirm', { code }),
  removeTotp: (password: string) => client.request<void>('POST', '/api/totp/end', { password }),
};

function act(server: string, action: string, body: unknown): Promise<ActionDone> {
  const path = `/api/servers/${part(server)}/${action}`;
  return client.request<ActionDone>('POST', path, body, SERVER_TIMEOUT_MS);
}
