/** Light, dark, or as the system has it. `public/theme.js` does the same before the first paint. */

import { kept, keep } from './kept.ts';

export type Theme = 'system' | 'light' | 'dark';

class CurrentTheme {
  chosen = $state<Theme>(asTheme(kept('theme')));

  choose(theme: Theme): void {
    this.chosen = theme;
    keep('theme', theme === 'system' ? null : theme);
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }
}

function asTheme(text: string | null): Theme {
  return text === 'light' || text === 'dark' ? text : 'system';
}

export const theme = new CurrentTheme();
