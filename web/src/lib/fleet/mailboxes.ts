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
  /** New messages, as far as they are known now. */
  new: number;
  /** Servers that cannot be asked now; one that does not tell of any mailbox is none of them. */
  serversStale: number;
}

/** A mailbox is one, however many phones it belongs to. */
export function voicemail(servers: Iterable<ServerEntry>): Voicemail {
  const sum: Voicemail = { new: 0, serversStale: 0 };
  for (const { info, mailboxes } of servers) {
    const { is } = info.parts.mailboxes;
    // Without a list of them, those that peers name are asked about one by one.
    const known = is === 'live' || (is === 'not_offered' && info.connected);
    if (known) for (const mailbox of mailboxes.values()) sum.new += mailbox.new;
    else if (is !== 'not_offered' || mailboxes.size > 0) sum.serversStale += 1;
  }
  return sum;
}

function orderOf(mailbox: Mailbox): string {
  return (mailbox.new > 0 ? '0' : '1') + naturalKey(mailbox.id);
}
