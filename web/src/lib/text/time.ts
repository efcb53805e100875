/** Times and durations in words, in the browser's zone. */

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
/** From here on a day without its year may be taken for the one of another year. */
const HALF_YEAR_MS = 182 * 24 * 3_600_000;
/** What `Date` knows ends here, on both sides; beyond it throws, or says NaN. */
const DATE_MAX_MS = 8.64e15;
const two = (n: number) => String(n).padStart(2, '0');

/** In the place of a time that `Date` cannot show. */
function farTime(at_ms: number): string | null {
  if (Math.abs(at_ms) <= DATE_MAX_MS) return null;
  return at_ms < 0 ? 'far in the past' : 'far in the future';
}

// Written out, not by `Intl`, for a table writes hundreds of times when it is scrolled; and always in 24 hours,
// for they are read by comparing.
export function timeOfDay(at_ms: number): string {
  const far = farTime(at_ms);
  if (far !== null) return far;
  const at = new Date(at_ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The time of day, and the date if it was not the day of `now_ms`. */
export function shortTime(at_ms: number, now_ms: number): string {
  const far = farTime(at_ms);
  if (far !== null) return far;
  const begin = new Date(now_ms).setHours(0, 0, 0, 0);
  const end = new Date(now_ms).setHours(24, 0, 0, 0);
  if (at_ms >= begin && at_ms < end) return timeOfDay(at_ms);
  const date = Math.abs(at_ms - now_ms) < HALF_YEAR_MS ? day : dayOfYear;
  return `${date.format(at_ms)} ${timeOfDay(at_ms)}`;
}

/** `2026-05-03 14:09:07 +02:00`: as logs have it, to compare with them. */
export function exactTime(at_ms: number): string {
  const far = farTime(at_ms);
  if (far !== null) return far;
  const at = new Date(at_ms);
  const east = -at.getTimezoneOffset();
  const zone = `${east < 0 ? '-' : '+'}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeOfDay(at_ms)} ${zone}`;
}

/** As machines read it: in saved tables, and for `<time datetime>`, where a word is as good as nothing. */
export function isoTime(at_ms: number): string {
  return farTime(at_ms) ?? new Date(at_ms).toISOString();
}

/** `0:07`, `12:09`, `1:02:03`: what a call's clock shows. */
export function stopwatch(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** `7 s`, `12 min`, `3 h 05 min`, `9 d 4 h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A duration as `<time datetime>` wants it. */
export function isoSpan(ms: number): string {
  return `PT${Math.max(0, Math.floor(ms / 1000))}S`;
}

/** `0.8 ms`, `23 ms`, `1.20 s`. */
export function roundTrip(us: number): string {
  if (us < 9_950) return `${(us / 1000).toFixed(1)} ms`;
  if (us < 999_500) return `${Math.round(us / 1000)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}
