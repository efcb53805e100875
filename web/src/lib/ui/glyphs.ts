/** A shape for each state, so that none is told by colour alone. All are drawn in a square of 16. */

import type { CallState, Device, Direction, Freshness, OutboundState, Registration } from '../api/types.ts';

export interface Glyph {
  /** Filled. */
  fill?: string;
  /** Drawn as a line. */
  line?: string;
  tone: 'ok' | 'busy' | 'warn' | 'bad' | 'off';
}

const circle = (radius: number) =>
  `M8 ${8 - radius}a${radius} ${radius} 0 1 1 0 ${radius * 2}a${radius} ${radius} 0 1 1 0 -${radius * 2}z`;

const QUESTION = 'M5.6 6a2.4 2.4 0 1 1 3.5 2.1c-.8.5-1.1.9-1.1 1.9M8 12.4v.3';
const BELL =
  'M8 2.2a3.6 3.6 0 0 0-3.6 3.6c0 3.2-1.4 4.2-1.4 5.2h10c0-1-1.4-2-1.4-5.2A3.6 3.6 0 0 0 8 2.2zM6.6 12.4a1.5 1.5 0 0 0 2.8 0z';

export const REGISTRATION_GLYPH: Record<Registration, Glyph> = {
  registered: { fill: circle(4.5), tone: 'ok' },
  lagged: { fill: 'M8 2.6 14 13H2z', tone: 'warn' },
  static: { fill: 'M4 4h8v8H4z', tone: 'ok' },
  unreachable: { line: 'M4 4l8 8M12 4l-8 8', tone: 'bad' },
  unregistered: { line: circle(4.2), tone: 'off' },
  unknown: { line: QUESTION, tone: 'off' },
};

export const OUTBOUND_GLYPH: Record<OutboundState, Glyph> = {
  registered: REGISTRATION_GLYPH.registered,
  asked: { line: 'M3 8h.3M7.9 8h.3M12.8 8h.3', tone: 'warn' },
  rejected: REGISTRATION_GLYPH.unreachable,
  timed_out: { line: `${circle(5)}M8 5v3.2l2 1.3`, tone: 'bad' },
  unregistered: REGISTRATION_GLYPH.unregistered,
  unknown: REGISTRATION_GLYPH.unknown,
};

export const DEVICE_GLYPH: Record<Device, Glyph> = {
  ringing: { fill: BELL, tone: 'warn' },
  ring_in_use: { fill: BELL, line: 'M3 14.6h10', tone: 'warn' },
  in_use: {
    fill: 'M3.2 3.4h3.1l1 3-1.4 1.2a7 7 0 0 0 2.6 2.6l1.2-1.4 3 1v3.1c-5.4.6-10.1-4.1-9.5-9.5z',
    tone: 'busy',
  },
  busy: { fill: `${circle(5.5)}M4.8 7.1v1.8h6.4V7.1z`, tone: 'busy' },
  on_hold: { fill: 'M4.2 3.5h2.6v9H4.2zM9.2 3.5h2.6v9H9.2z', tone: 'busy' },
  idle: { line: 'M4 8h8', tone: 'off' },
  unavailable: { line: `${circle(5)}M4.6 11.4l6.8-6.8`, tone: 'off' },
  invalid: { line: 'M5 5l6 6M11 5l-6 6', tone: 'bad' },
  unknown: { line: QUESTION, tone: 'off' },
};

export const CALL_STATE_GLYPH: Record<CallState, Glyph> = {
  dialling: { line: 'M3 8h.3M7.9 8h.3M12.8 8h.3', tone: 'off' },
  ringing: { fill: BELL, tone: 'warn' },
  up: { fill: circle(4.5), tone: 'ok' },
  on_hold: { fill: 'M4.2 3.5h2.6v9H4.2zM9.2 3.5h2.6v9H9.2z', tone: 'busy' },
};

export const DIRECTION_GLYPH: Record<Direction, Glyph> = {
  in: { line: 'M12.5 3.5l-8 8M4.5 5.5v6h6', tone: 'ok' },
  out: { line: 'M3.5 12.5l8-8M5.5 4.5h6v6', tone: 'busy' },
  internal: { line: 'M2.5 8h11M5.5 5l-3 3 3 3M10.5 5l3 3-3 3', tone: 'off' },
  through: { line: 'M2.5 8h11M10.5 5l3 3-3 3M2.5 4.5v7', tone: 'off' },
};

export const ANSWER_GLYPH: Record<'yes' | 'no', Glyph> = {
  yes: { fill: circle(4.5), tone: 'ok' },
  no: { line: circle(4.2), tone: 'off' },
};

export const FRESHNESS_GLYPH: Record<Freshness['is'], Glyph> = {
  live: { fill: circle(4.5), tone: 'ok' },
  as_of: { line: `${circle(5)}M8 5v3.2l2 1.3`, tone: 'warn' },
  not_offered: { line: 'M5 8h6', tone: 'off' },
  unknown: { line: QUESTION, tone: 'off' },
};
