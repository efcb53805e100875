/** A server's mailboxes as they are listed, and the voicemail of all servers. */

import type { Mailbox } from '../api/types.ts';
import { naturalKey } from '../text/natural.ts';
import type { ServerEntry } from './store.ts';

/** Those with messages, and how many have none. */
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

export interface Voicemail {
  /** New messages that are live. */
  new: number;
  /** Servers whose mailboxes are not live and so only counted; one that does not tell of any is none of them. */
  serversStale: number;
}

/** A mailbox is one, however many phones it belongs to. */
export function voicemail(servers: Iterable<ServerEntry>): Voicemail {
  const sum: Voicemail = { new: 0, serversStale: 0 };
  for (const { info, mailboxes } of servers) {
    const { is } = info.parts.mailboxes;
    if (is === 'live') for (const mailbox of mailboxes.values()) sum.new += mailbox.new;
    else if (is !== 'not_offered') sum.serversStale += 1;
  }
  return sum;
}

function orderOf(mailbox: Mailbox): string {
  return (mailbox.new > 0 ? '0' : '1') + naturalKey(mailbox.id);
}
