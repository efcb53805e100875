/** How many there are of each, kept up as rows come and go rather than counted again. */

import type { CallState, Device, Direction, Registration } from '../api/types.ts';
import type { CallRow } from './call-row.ts';
import type { PeerRow } from './peer-row.ts';
import { CALL_STATES, DEVICES, DIRECTIONS, REGISTRATIONS } from './words.ts';

export class Totals {
  registration = zeros<Registration>(REGISTRATIONS);
  device = zeros<Device>(DEVICES);
  callState = zeros<CallState>(CALL_STATES);
  direction = zeros<Direction>(DIRECTIONS);
  voicemailNew = 0;
  phones = 0;
  trunks = 0;
  trunksUp = 0;

  peer(row: PeerRow, by: 1 | -1): void {
    this.registration[row.registration] += by;
    this.device[row.device] += by;
    this.voicemailNew += by * (row.voicemailNew ?? 0);
    if (!row.trunk) this.phones += by;
    else {
      this.trunks += by;
      if (row.registration === 'registered' || row.registration === 'lagged' || row.registration === 'static')
        this.trunksUp += by;
    }
  }

  call(row: CallRow, by: 1 | -1): void {
    this.callState[row.call.state] += by;
    this.direction[row.call.direction] += by;
  }
}

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}
