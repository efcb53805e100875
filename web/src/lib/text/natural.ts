/** Order as people expect it: `9` before `10`, whatever the case. */

const DIGITS_MAX = 20;

/** A key that plain string comparison puts in natural order; comparing keys is what makes big tables fast. */
export function naturalKey(text: string): string {
  return text.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(DIGITS_MAX, '0'));
}
