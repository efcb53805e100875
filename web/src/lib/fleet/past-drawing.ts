/**
 * A peer's past as paths of SVG: one for each state, however often it changed.
 *
 * States are told by height and pattern as well as by colour. What would be too narrow to be seen is widened, and
 * drawn over the rest: an outage of seconds is what somebody looks for.
 */

import type { Registration } from '../api/types.ts';
import type { PeerPast, Stretch } from './past.ts';

export interface Layer {
  registration: Registration;
  d: string;
}

export interface Drawing {
  wide: Layer[];
  /** Where narrow ones come to stand: nothing else is to be seen there. */
  cleared: string;
  narrow: Layer[];
}

/** How much of the height each has. */
export const HEIGHT: Record<Registration, number> = {
  registered: 1,
  static: 1,
  unknown: 1,
  lagged: 0.7,
  unreachable: 0.42,
  unregistered: 0.16,
};

/** The later ones are drawn over the others. */
const ORDER: readonly Registration[] = [
  'registered',
  'static',
  'unknown',
  'lagged',
  'unregistered',
  'unreachable',
];

export const NARROWEST = 2;
/** Narrow ones stand on a grid, so that ten thousand of them are not more than there is room for. */
const GRID = 0.5;

export function drawing(past: PeerPast, width: number, height: number): Drawing {
  const scale = width / (past.to_ms - past.from_ms);
  const wide = new Map<Registration, Set<string>>();
  const narrow = new Map<Registration, Set<string>>();
  const cleared = new Set<string>();
  for (const stretch of past.stretches) {
    const { registration } = stretch;
    const [left, across] = place(stretch, past.from_ms, scale, width);
    const high = height * HEIGHT[registration];
    const isNarrow = across < NARROWEST;
    const at = isNarrow ? Math.min(Math.round(left / GRID) * GRID, width - NARROWEST) : left;
    const rectangle = (tall: number) =>
      `M${at} ${round(height - tall)}h${isNarrow ? NARROWEST : across}V${height}H${at}z`;
    into(isNarrow ? narrow : wide, registration).add(rectangle(high));
    if (isNarrow) cleared.add(rectangle(height));
  }
  return { wide: layers(wide), cleared: [...cleared].join(''), narrow: layers(narrow) };
}

function place({ from_ms, to_ms }: Stretch, begin: number, scale: number, width: number): [number, number] {
  const left = round((from_ms - begin) * scale);
  return [left, round(Math.min(width, (to_ms - begin) * scale) - left)];
}

function layers(rectangles: ReadonlyMap<Registration, ReadonlySet<string>>): Layer[] {
  return ORDER.filter((one) => rectangles.has(one)).map((registration) => ({
    registration,
    d: [...rectangles.get(registration)!].join(''),
  }));
}

function into(map: Map<Registration, Set<string>>, key: Registration): Set<string> {
  let set = map.get(key);
  if (!set) map.set(key, (set = new Set()));
  return set;
}

function round(length: number): number {
  return Math.round(length * 100) / 100;
}
