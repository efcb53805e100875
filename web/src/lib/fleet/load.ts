/** How busy a server's machine is. */

import type { Link } from '../api/types.ts';

export interface Load {
  /** `0.42 of 2`: programs that run or wait to, of as many as can run at once. */
  text: string;
  /** Whether programs wait for a processor. */
  over: boolean;
}

/** `null` if nobody tells. */
export function loadOf({ load_milli, cpus }: Pick<Link, 'load_milli' | 'cpus'>): Load | null {
  if (load_milli === null) return null;
  const text = (load_milli / 1000).toFixed(2);
  if (cpus === null) return { text, over: false };
  return { text: `${text} of ${cpus}`, over: load_milli > cpus * 1000 };
}
