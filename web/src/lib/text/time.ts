/** Times and durations in words, in the browser's zone. */

// Tables are read by comparing: no clock of twelve hours.
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

export function timeOfDay(at_ms: number): string {
  return clock.format(at_ms);
}

/** The time of day, and the date if it was not today. */
export function shortTime(at_ms: number, now_ms: number): string {
  const same = new Date(at_ms).toDateString() === new Date(now_ms).toDateString();
  return same ? clock.format(at_ms) : `${day.format(at_ms)} ${clock.format(at_ms)}`;
}

export function exactTime(at_ms: number): string {
  return exact.format(at_ms);
}

/** `0:07`, `12:09`, `1:02:03`: what a call's clock shows. */
export function stopwatch(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
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
