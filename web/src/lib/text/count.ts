/** Counts in words: with separators, and in the plural unless it is one. */

/** `1 call`, `1,204 calls`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
