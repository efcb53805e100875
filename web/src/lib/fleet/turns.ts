/** Which servers came and went: important enough to be said aloud. */

import type { ServerEntry } from './store.ts';

export class Turns {
  #connected = new Map<string, boolean>();

  /** What to say of servers that turned since the last time; of new ones nothing. */
  since(servers: ReadonlyMap<string, ServerEntry>): string[] {
    const said: string[] = [];
    for (const { name, info } of servers.values()) {
      const before = this.#connected.get(name);
      if (before !== undefined && before !== info.connected)
        said.push(info.connected ? `${name} is connected again.` : `${name} is no longer connected.`);
      this.#connected.set(name, info.connected);
    }
    return said;
  }
}
