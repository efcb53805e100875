/** How far something may be believed: of the server's parts, and of several together. */

import type { Driver, Freshness, Part, Parts } from '../api/types.ts';

export const LIVE: Freshness = { is: 'live' };
export const UNKNOWN: Freshness = { is: 'unknown' };

/** The less believable of two. What a server does not offer says nothing about the rest. */
export function worse(a: Freshness, b: Freshness): Freshness {
  if (a.is === 'not_offered') return b;
  if (b.is === 'not_offered') return a;
  if (a.is === 'unknown' || b.is === 'unknown') return UNKNOWN;
  if (a.is === 'as_of' && b.is === 'as_of') return a.at_ms < b.at_ms ? a : b;
  return a.is === 'as_of' ? a : b;
}

/** What is known of registrations of a driver: PJSIP keeps them apart from the endpoints. */
export function registrationFreshness(parts: Parts, driver: Driver): Freshness {
  if (driver === 'PJSIP') return worse(parts.pjsip, parts.contacts);
  return driver === 'IAX2' ? parts.iax2 : parts.sip;
}

/** Whether rows of peers and calls would say the same: what is only asked for is no part of them. */
export function sameParts(a: Parts, b: Parts): boolean {
  return PARTS.every(({ part, asked }) => asked || same(a[part], b[part]));
}

function same(a: Freshness, b: Freshness): boolean {
  return a.is === b.is && (a.is !== 'as_of' || b.is !== 'as_of' || a.at_ms === b.at_ms);
}

/**
 * How the parts are called, in the order in which they are shown. Of those that are only ever asked for it is
 * nothing to warn of that they are of a moment ago.
 */
export const PARTS: readonly { part: Part; label: string; asked?: true }[] = [
  { part: 'facts', label: 'Facts', asked: true },
  { part: 'pjsip', label: 'PJSIP peers' },
  { part: 'contacts', label: 'PJSIP contacts' },
  { part: 'iax2', label: 'IAX2 peers' },
  { part: 'sip', label: 'SIP peers' },
  { part: 'devices', label: 'Device states' },
  { part: 'calls', label: 'Calls' },
  { part: 'mailboxes', label: 'Mailboxes' },
  { part: 'registrations_outbound', label: 'Own registrations', asked: true },
];
