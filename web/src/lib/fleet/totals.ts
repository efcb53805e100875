/** How many there are of each now, kept up as rows come and go rather than counted again. */

import type { CallState, Device, Direction, Registration } from '../api/types.ts';
import type { CallRow } from './call-row.ts';
import type { PeerRow } from './peer-row.ts';
import { CALL_STATES, DEVICES, DIRECTIONS, REGISTRATIONS } from './words.ts';

export class Totals {
  registration = zeros<Registration>(REGISTRATIONS);
  device = zeros<Device>(DEVICES);
  callState = zeros<CallState>(CALL_STATES);
  direction = zeros<Direction>(DIRECTIONS);
  /** Calls and peers that are live; the others are only counted. */
  calls = 0;
  callsStale = 0;
  peers = 0;
  peersStale = 0;

  peer(row: PeerRow, by: 1 | -1): void {
    if (row.registrationFresh.is !== 'live') {
      this.peersStale += by;
      return;
    }
    this.peers += by;
    this.registration[row.registration] += by;
    this.device[row.device] += by;
  }

  call(row: CallRow, by: 1 | -1): void {
    if (row.fresh.is !== 'live') {
      this.callsStale += by;
      return;
    }
    this.calls += by;
    this.callState[row.call.state] += by;
    this.direction[row.call.direction] += by;
  }
}

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}
