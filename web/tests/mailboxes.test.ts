import { expect, test } from 'vitest';
import { mailboxList } from '../src/lib/fleet/mailboxes.ts';

test('mailboxes with new messages come first, then those with old ones, and the others are counted', () => {
  const mailbox = (id: string, fresh: number, old: number) => ({ id, new: fresh, old });
  const { filled, empty } = mailboxList([
    mailbox('1000@default', 1, 0),
    mailbox('300@default', 0, 0),
    mailbox('100@default', 0, 7),
    mailbox('200@default', 2, 5),
  ]);
  expect(filled.map(({ id }) => id)).toEqual(['200@default', '1000@default', '100@default']);
  expect(empty).toBe(1);
});
