/** Something that a filter may be set to. */

import type { Glyph } from './glyphs.ts';

export interface Choice {
  value: string;
  label: string;
  glyph?: Glyph;
}
