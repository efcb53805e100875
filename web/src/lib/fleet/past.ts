/** A peer's past: from the hub's list of changes to stretches of time, and what they add up to. */

import type { Past, Registration } from '../api/types.ts';
import { REGISTRATION_WORD, REGISTRATIONS } from './words.ts';

export const PAST_WORD: Record<Registration, string> = { ...REGISTRATION_WORD, unknown: 'Not seen' };

/** A time during which nothing changed. */
export interface Stretch {
  from_ms: number;
  to_ms: number;
  /** `unknown` if nobody saw. */
  registration: Registration;
  address: string | null;
  /** Whether it began before what is shown. */
  before: boolean;
}

export interface PeerPast {
  from_ms: number;
  to_ms: number;
  /** The oldest first, each beginning where the one before ends. */
  stretches: readonly Stretch[];
  /** Until when the hub told: there was more than fits one answer. `null` if it told all. */
  toldUntil_ms: number | null;
}

/** What is not known to have been anything is `unknown`: before the first change, and a word that is none. */
export function peerPast({ rows, truncated }: Past, from_ms: number, to_ms: number): PeerPast {
  const last = rows.at(-1);
  const toldUntil_ms = truncated && last ? last.at_ms : null;
  const end = toldUntil_ms ?? to_ms;
  const stretches: Stretch[] = [];
  const add = (from: number, to: number, registration: Registration, address: string | null) => {
    const begin = Math.max(from, from_ms);
    const before = stretches.at(-1);
    if (Math.min(to, end) <= begin) return;
    if (before?.registration === registration && before.address === address) before.to_ms = Math.min(to, end);
    else
      stretches.push({
        from_ms: begin,
        to_ms: Math.min(to, end),
        registration,
        address,
        before: from < from_ms,
      });
  };

  add(-Infinity, rows[0]?.at_ms ?? end, 'unknown', null);
  rows.forEach(({ at_ms, registration, address }, at) => {
    add(at_ms, rows[at + 1]?.at_ms ?? end, known(registration), address);
  });
  return { from_ms, to_ms, stretches, toldUntil_ms };
}

/** How long it was each, in the order of {@link REGISTRATIONS}; without what it never was. */
export function shares(past: PeerPast): { registration: Registration; ms: number }[] {
  const sums = new Map<Registration, number>();
  for (const { registration, from_ms, to_ms } of past.stretches)
    sums.set(registration, (sums.get(registration) ?? 0) + to_ms - from_ms);
  return REGISTRATIONS.filter((one) => sums.has(one)).map((registration) => ({
    registration,
    ms: sums.get(registration)!,
  }));
}

/** Since when it has been so, with `before` for longer than the past goes back; `null` if the past ends otherwise. */
export function heldSince(
  { stretches, toldUntil_ms }: PeerPast,
  registration: Registration,
): number | 'before' | null {
  if (toldUntil_ms !== null) return null;
  const other = stretches.findLastIndex((stretch) => stretch.registration !== registration);
  const first = stretches[other + 1];
  if (!first) return null;
  return first.before ? 'before' : first.from_ms;
}

function known(word: string): Registration {
  return REGISTRATIONS.find((one) => one === word) ?? 'unknown';
}
