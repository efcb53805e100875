/** A server's mailboxes as they are listed: those with messages, and how many have none. */

import type { Mailbox } from '../api/types.ts';
import { naturalKey } from '../text/natural.ts';

export interface MailboxList {
  /** Those with new messages first, each kind in the order of names. */
  filled: Mailbox[];
  empty: number;
}

export function mailboxList(mailboxes: Iterable<Mailbox>): MailboxList {
  const all = [...mailboxes].map((mailbox) => ({ mailbox, order: orderOf(mailbox) }));
  const filled = all.filter(({ mailbox }) => mailbox.new + mailbox.old > 0);
  filled.sort((a, b) => (a.order < b.order ? -1 : 1));
  return { filled: filled.map(({ mailbox }) => mailbox), empty: all.length - filled.length };
}

function orderOf(mailbox: Mailbox): string {
  return (mailbox.new > 0 ? '0' : '1') + naturalKey(mailbox.id);
}
