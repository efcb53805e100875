import { describe, expect, test } from 'vitest';
import type { Outbound } from '../src/lib/api/types.ts';
import { Fleet } from '../src/lib/fleet/store.ts';
import { call, change, info, peer, server, snapshot } from './fixtures.ts';

function fleet(...servers: Parameters<typeof snapshot>): Fleet {
  const made = new Fleet();
  made.replace(snapshot(...servers));
  made.flush();
  return made;
}

describe('peers', () => {
  test('the same phone on several servers is one row, and the best registration leads', () => {
    const made = fleet(
      server('a', [peer('200', { registration: 'unregistered', address: null })]),
      server('b', [peer('200', { registration: 'registered', address: '10.0.0.9:5060' })]),
    );
    expect(made.peerRows.size).toBe(1);
    const row = made.peerRows.get('PJSIP/200')!;
    expect(row.registration).toBe('registered');
    expect(row.address).toBe('10.0.0.9:5060');
    expect(row.entries.map((entry) => entry.server)).toEqual(['b', 'a']);
  });

  test('the same name with another driver is another row', () => {
    const made = fleet(server('a', [peer('200'), peer('200', { driver: 'IAX2' })]));
    expect([...made.peerRows.keys()]).toEqual(['PJSIP/200', 'IAX2/200']);
  });

  test('of two equal registrations the live one leads', () => {
    const made = fleet(
      server('a', [peer('200', { address: 'old' })], [], [], { is: 'as_of', at_ms: 5 }),
      server('b', [peer('200', { address: 'new' })]),
    );
    expect(made.peerRows.get('PJSIP/200')!.address).toBe('new');
  });

  test('what a phone does is what the busier live server says', () => {
    const made = fleet(
      server('a', [peer('200', { device: 'ringing' })], [], [], { is: 'as_of', at_ms: 5 }),
      server('b', [peer('200', { device: 'in_use' })]),
      server('c', [peer('200', { device: 'idle' })]),
    );
    expect(made.peerRows.get('PJSIP/200')!.device).toBe('in_use');
  });

  test('a peer gone from one server stays on the other, and gone from both is gone', () => {
    const made = fleet(server('a', [peer('200')]), server('b', [peer('200')]));
    made.apply([change('a', 'peer_gone', { driver: 'PJSIP', name: '200' })]);
    made.flush();
    expect(made.peerRows.get('PJSIP/200')!.entries.map((entry) => entry.server)).toEqual(['b']);
    made.apply([change('b', 'peer_gone', { driver: 'PJSIP', name: '200' })]);
    made.flush();
    expect(made.peerRows.size).toBe(0);
  });

  test('voicemail follows the mailbox, whichever comes first', () => {
    const made = fleet(server('a', [peer('200', { mailbox: '200@default' })]));
    expect(made.peerRows.get('PJSIP/200')!.voicemailNew).toBeNull();
    made.apply([change('a', 'mailbox', { id: '200@default', new: 3, old: 1 })]);
    made.flush();
    expect(made.peerRows.get('PJSIP/200')!.voicemailNew).toBe(3);
    made.apply([change('a', 'mailbox_gone', '200@default')]);
    made.flush();
    expect(made.peerRows.get('PJSIP/200')!.voicemailNew).toBeNull();
  });

  test('a mailbox that no peer names is news of its server', () => {
    const made = fleet(server('a'));
    made.apply([change('a', 'mailbox', { id: '300@default', new: 1, old: 0 })]);
    expect(made.touched).toBe(true);
    expect(made.flush().servers).toBe(true);
    expect(made.servers.get('a')!.mailboxes.get('300@default')!.new).toBe(1);
  });

  test('PJSIP registrations are as old as the older of endpoints and contacts', () => {
    const made = fleet(server('a', [peer('200'), peer('300', { driver: 'IAX2' })]));
    const parts = { ...info().parts, contacts: { is: 'as_of', at_ms: 7 } as const };
    made.apply([change('a', 'server', info(undefined, { parts }))]);
    made.flush();
    expect(made.peerRows.get('PJSIP/200')!.registrationFresh).toEqual({ is: 'as_of', at_ms: 7 });
    expect(made.peerRows.get('IAX2/300')!.registrationFresh).toEqual({ is: 'live' });
  });
});

describe('batches', () => {
  test('a flush makes only what was touched anew', () => {
    const made = fleet(server('a', [peer('1'), peer('2')]));
    const [first, second] = [made.peerRows.get('PJSIP/1'), made.peerRows.get('PJSIP/2')];
    made.apply([
      change('a', 'peer', peer('1', { device: 'ringing' })),
      change('a', 'peer', peer('1', { device: 'in_use' })),
    ]);
    const flushed = made.flush();
    expect([...flushed.peers]).toEqual(['PJSIP/1']);
    expect(made.peerRows.get('PJSIP/1')).not.toBe(first);
    expect(made.peerRows.get('PJSIP/2')).toBe(second);
  });

  test('counters of a server do not touch its peers', () => {
    const made = fleet(server('a', [peer('1')]));
    made.apply([change('a', 'server', info(undefined, { calls: 9 }))]);
    expect(made.flush()).toMatchObject({ servers: true, peers: new Set() });
  });

  test('what is only asked for, again and again, does not touch them either', () => {
    const made = fleet(server('a', [peer('1')], [call('c')]));
    const asked = { is: 'as_of', at_ms: 9 } as const;
    const parts = { ...info().parts, facts: asked, registrations_outbound: asked };
    made.apply([change('a', 'server', info(undefined, { parts }))]);
    expect(made.flush()).toMatchObject({ servers: true, peers: new Set(), calls: new Set() });
  });

  test('a server that is no longer live makes all its rows anew', () => {
    const made = fleet(server('a', [peer('1')], [call('c')]));
    made.apply([change('a', 'server', info({ is: 'as_of', at_ms: 3 }, { connected: false }))]);
    const flushed = made.flush();
    expect(flushed.peers.size).toBe(1);
    expect(made.callRows.values().next().value!.fresh).toEqual({ is: 'as_of', at_ms: 3 });
  });

  test('totals after any changes are those of a new snapshot', () => {
    const made = fleet(server('a', [peer('1'), peer('2', { trunk: true })], [call('c'), call('d')]));
    made.apply([
      change('a', 'peer', peer('1', { registration: 'unreachable' })),
      change('a', 'peer', peer('3')),
      change('a', 'peer_gone', { driver: 'PJSIP', name: '2' }),
      change('a', 'call', call('d', { state: 'on_hold', direction: 'in' })),
      change('a', 'call_gone', 'c'),
    ]);
    made.flush();
    const again = fleet(
      server(
        'a',
        [peer('1', { registration: 'unreachable' }), peer('3')],
        [call('d', { state: 'on_hold', direction: 'in' })],
      ),
    );
    expect(made.totals).toEqual(again.totals);
  });

  test('a server gone takes its peers and calls along', () => {
    const made = fleet(server('a', [peer('1')], [call('c')]), server('b', [peer('1')]));
    made.replace({ seq: 2, now_ms: 2, servers: [server('b', [peer('1')])] });
    made.flush();
    expect(made.callRows.size).toBe(0);
    expect(made.peerRows.get('PJSIP/1')!.entries.map((entry) => entry.server)).toEqual(['b']);
  });

  test('a server that nobody has heard of may send peers before its own record', () => {
    const made = fleet();
    made.apply([change('new', 'peer', peer('1'))]);
    made.flush();
    expect(made.peerRows.get('PJSIP/1')!.registrationFresh).toEqual({ is: 'unknown' });
  });
});

test('calls of two servers with the same id stay apart', () => {
  const made = fleet(server('a', [], [call('1.1')]), server('b', [], [call('1.1')]));
  expect(made.callRows.size).toBe(2);
});

describe('registrations at other servers', () => {
  const outbound = (user: string, more: Partial<Outbound> = {}): Outbound => ({
    driver: 'PJSIP',
    user,
    at: 'sip:sip.example.net',
    name: null,
    state: 'registered',
    since_ms: null,
    ...more,
  });

  test('they come with the snapshot, and changes make them others, more and fewer', () => {
    const made = fleet({ ...server('a'), registrations_outbound: [outbound('1'), outbound('2')] });
    made.apply([
      change('a', 'outbound', outbound('1', { state: 'rejected' })),
      change('a', 'outbound', outbound('1', { driver: 'IAX2' })),
      change('a', 'outbound_gone', { driver: 'PJSIP', user: '2', at: 'sip:sip.example.net' }),
    ]);
    expect(made.flush()).toMatchObject({ servers: true, peers: new Set() });
    const shown = [...made.servers.get('a')!.outbound.values()];
    expect(shown.map(({ driver, user, state }) => [driver, user, state])).toEqual([
      ['PJSIP', '1', 'rejected'],
      ['IAX2', '1', 'registered'],
    ]);
  });
});

test('what only a newer hub knows is passed over, and makes no server', () => {
  const made = fleet(server('a', [peer('1')]));
  for (const what of ['weather', 'weather_gone', 'constructor'])
    made.apply([change('a', what as 'peer', { driver: 'PJSIP' }), change('b', what as 'peer', null)]);
  expect(made.touched).toBe(false);
  expect([...made.servers.keys()]).toEqual(['a']);
});

test('a trunk is told from a phone by the legs', () => {
  const trunk = { number: '+49301', name: null, peer: 'PJSIP/telekom' };
  const leg = {
    channel: 'PJSIP/telekom-1',
    id: '1',
    party: trunk,
    trunk: true,
    state: 6,
    on_hold: null,
    bridge: null,
  };
  const made = fleet(server('a', [], [call('1', { from: trunk, legs: [leg] })]));
  expect(made.callRows.values().next().value).toMatchObject({ fromTrunk: true, toTrunk: false });
});
