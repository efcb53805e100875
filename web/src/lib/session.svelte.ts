/** Who is logged in, and what they may do. */

import { ApiError } from './api/client.ts';
import { client, hub } from './api/hub.ts';
import type { Role, Session } from './api/types.ts';

const RANK: Record<Role, number> = { viewer: 0, operator: 1, administrator: 2 };

class CurrentSession {
  status = $state<'asking' | 'out' | 'in' | 'unreachable'>('asking');
  user = $state('');
  role = $state<Role>('viewer');
  totp = $state<boolean | undefined>(undefined);
  /** Why the login page is shown, if not because someone has just come. */
  notice = $state('');

  constructor() {
    client.onUnauthorised = () => this.end('Your session has ended. Log in again.');
  }

  async ask(): Promise<void> {
    try {
      this.begin(await hub.session());
    } catch (problem) {
      this.status = problem instanceof ApiError && problem.status === 401 ? 'out' : 'unreachable';
    }
  }

  begin(session: Session): void {
    client.csrf = session.csrf;
    this.user = session.user;
    this.role = session.role;
    this.totp = session.totp;
    this.notice = '';
    this.status = 'in';
  }

  end(notice = ''): void {
    client.csrf = '';
    this.user = '';
    this.role = 'viewer';
    this.notice = notice;
    this.status = 'out';
  }

  may(role: Role): boolean {
    return RANK[this.role] >= RANK[role];
  }

  /** Why something that needs `role` cannot be done, or `null` if it can. */
  denial(role: Role): string | null {
    if (this.may(role)) return null;
    return `Only ${role === 'operator' ? 'operators and administrators' : 'administrators'} may do this; you are a ${this.role}.`;
  }
}

export const session = new CurrentSession();
