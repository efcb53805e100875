/**
 * Tables as CSV (RFC 4180) that a spreadsheet does not take for formulas. What would hide or rearrange text is written
 * as it is shown.
 */

import { visible } from './visible.ts';

export function csv(header: readonly string[], rows: Iterable<readonly string[]>): string {
  const lines = [header, ...rows].map((row) => row.map(cell).join(','));
  // The mark tells spreadsheets that this is UTF-8.
  return '\ufeff' + lines.join('\r\n') + '\r\n';
}

/**
 * A caller's name may begin like a formula, and spreadsheets would run it; an apostrophe stops that. Some
 * strip blanks before they look, so blanks do not help.
 */
function cell(text: string): string {
  const guarded = /^[\s\u00a0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(text) ? `'${text}` : text;
  const shown = visible(guarded);
  return /[",]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}
