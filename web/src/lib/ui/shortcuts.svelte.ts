/** Keys that work everywhere but in a field: `/` searches, `?` helps, `g` and a letter goes to a page. */

import { router } from '../router.svelte.ts';
import { session } from '../session.svelte.ts';

const SECOND_KEY_MS = 1_200;

export const PAGE_KEYS: Record<string, { path: string; label: string }> = {
  p: { path: '/peers', label: 'Peers' },
  c: { path: '/calls', label: 'Calls' },
  s: { path: '/servers', label: 'Servers' },
  v: { path: '/variables', label: 'Variables' },
  w: { path: '/wallboard', label: 'Wallboard' },
};

class Shortcuts {
  helpShown = $state(false);
  #goAt = 0;

  pressed = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) || document.querySelector('dialog[open]')) return;
    if (session.status !== 'in') return;

    if (Date.now() - this.#goAt < SECOND_KEY_MS && PAGE_KEYS[event.key]) {
      router.go(PAGE_KEYS[event.key]!.path);
    } else if (event.key === 'g') {
      this.#goAt = Date.now();
      return;
    } else if (event.key === '?') {
      this.helpShown = true;
    } else if (event.key === '/') {
      const search = document.querySelector<HTMLInputElement>('input[type="search"]');
      if (!search) return;
      search.focus();
      search.select();
    } else return;
    this.#goAt = 0;
    event.preventDefault();
  };
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}

export const shortcuts = new Shortcuts();
