import { expect, test } from 'vitest';
import type { Freshness } from '../src/lib/api/types.ts';
import { mailboxList, voicemail } from '../src/lib/fleet/mailboxes.ts';
import { Fleet } from '../src/lib/fleet/store.ts';
import { server, snapshot } from './fixtures.ts';

const mailbox = (id: string, fresh: number, old: number) => ({ id, new: fresh, old });

test('mailboxes with new messages come first, then those with old ones, and the others are counted', () => {
  const { filled, empty } = mailboxList([
    mailbox('1000@default', 1, 0),
    mailbox('300@default', 0, 0),
    mailbox('100@default', 0, 7),
    mailbox('200@default', 2, 5),
  ]);
  expect(filled.map(({ id }) => id)).toEqual(['200@default', '1000@default', '100@default']);
  expect(empty).toBe(1);
});

test('voicemail that is not live is in no sum, and its server is counted unless it tells of none', () => {
  const fleet = new Fleet();
  const one = (name: string, fresh: number, freshness: Freshness) =>
    server(name, [], [], [mailbox('200@default', fresh, 0)], freshness);
  fleet.replace(
    snapshot(
      one('a', 2, { is: 'live' }),
      one('b', 3, { is: 'live' }),
      one('c', 9, { is: 'as_of', at_ms: 5 }),
      server('never', [], [], [], { is: 'unknown' }),
      server('none', [], [], [], { is: 'not_offered' }),
      // It has no list of them: those that peers name are asked about.
      one('asked', 4, { is: 'not_offered' }),
    ),
  );
  expect(voicemail(fleet.servers.values())).toEqual({ new: 9, serversStale: 2 });
  fleet.servers.get('asked')!.info.connected = false;
  expect(voicemail(fleet.servers.values())).toEqual({ new: 5, serversStale: 3 });
});
