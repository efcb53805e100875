/** The words for states, and their order. The order leads tables; words are what everybody reads. */

import type { CallState, Device, Direction, OutboundState, Registration } from '../api/types.ts';

export const REGISTRATIONS: readonly Registration[] = [
  'registered',
  'lagged',
  'static',
  'unreachable',
  'unregistered',
  'unknown',
];

export const REGISTRATION_WORD: Record<Registration, string> = {
  registered: 'Registered',
  lagged: 'Lagged',
  static: 'Static',
  unreachable: 'Unreachable',
  unregistered: 'Unregistered',
  unknown: 'Unknown',
};

export const OUTBOUND_WORD: Record<OutboundState, string> = {
  registered: 'Registered',
  asked: 'Asked',
  rejected: 'Rejected',
  timed_out: 'Timed out',
  unregistered: 'Unregistered',
  unknown: 'Unknown',
};

/** The busiest first. */
export const DEVICES: readonly Device[] = [
  'ring_in_use',
  'ringing',
  'in_use',
  'busy',
  'on_hold',
  'idle',
  'unavailable',
  'invalid',
  'unknown',
];

export const DEVICE_WORD: Record<Device, string> = {
  ring_in_use: 'In use, ringing',
  ringing: 'Ringing',
  in_use: 'In use',
  busy: 'Busy',
  on_hold: 'On hold',
  idle: 'Idle',
  unavailable: 'Unavailable',
  invalid: 'Invalid',
  unknown: 'Unknown',
};

export const CALL_STATES: readonly CallState[] = ['dialling', 'ringing', 'up', 'on_hold'];

export const CALL_STATE_WORD: Record<CallState, string> = {
  dialling: 'Dialling',
  ringing: 'Ringing',
  up: 'Up',
  on_hold: 'On hold',
};

export const DIRECTIONS: readonly Direction[] = ['in', 'out', 'internal', 'through'];

export const DIRECTION_WORD: Record<Direction, string> = {
  in: 'In',
  out: 'Out',
  internal: 'Internal',
  through: 'Through',
};

/** `ChannelState` of Asterisk's `channelstate.h`. */
const CHANNEL_STATES = [
  'Down',
  'Reserved',
  'Off hook',
  'Dialling',
  'Ring',
  'Ringing',
  'Up',
  'Busy',
  'Dialling off hook',
  'Pre-ring',
];

export function channelState(state: number): string {
  return CHANNEL_STATES[state] ?? `State ${state}`;
}
