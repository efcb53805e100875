/**
 * Text from phones and callers, made safe to look at.
 *
 * Control characters and those that turn the direction of text could hide or rearrange what is on the page,
 * so they are shown as escapes. The joiners U+200C and U+200D stay: scripts and emoji need them.
 */

const ODD =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const NAMED: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' };

export function visible(text: string): string {
  return text.replace(ODD, (odd) => NAMED[odd] ?? `\\u${odd.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
