/** Times and durations in words, in the browser's zone. */

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const two = (n: number) => String(n).padStart(2, '0');

// Written out, not by `Intl`, for a table writes hundreds of times when it is scrolled; and always in 24 hours,
// for they are read by comparing.
export function timeOfDay(at_ms: number): string {
  const at = new Date(at_ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The time of day, and the date if it was not the day of `now_ms`. */
export function shortTime(at_ms: number, now_ms: number): string {
  const begin = new Date(now_ms).setHours(0, 0, 0, 0);
  const end = new Date(now_ms).setHours(24, 0, 0, 0);
  return at_ms >= begin && at_ms < end ? timeOfDay(at_ms) : `${day.format(at_ms)} ${timeOfDay(at_ms)}`;
}

/** `2026-05-03 14:09:07 +02:00`: as logs have it, to compare with them. */
export function exactTime(at_ms: number): string {
  const at = new Date(at_ms);
  const east = -at.getTimezoneOffset();
  const zone = `${east < 0 ? '-' : '+'}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeOfDay(at_ms)} ${zone}`;
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
