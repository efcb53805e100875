/** Gives the browser a file that was made here. */

export function download(name: string, text: string, type: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** `tandem-peers-2026-05-03T12-30-00.csv` */
export function fileName(what: string, at_ms: number, ending: string): string {
  return `tandem-${what}-${new Date(at_ms).toISOString().slice(0, 19).replaceAll(':', '-')}.${ending}`;
}
