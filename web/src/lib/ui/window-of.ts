/** Which rows of a long list are worth having on the page. */

/** Rows kept beyond each edge, so that a fast hand does not see the edge. */
export const OVERSCAN_ROWS = 8;
/** The first row moves in steps, so that most frames of a scroll change nothing. */
const STEP_ROWS = 4;

export interface Window {
  start: number;
  end: number;
}

export function windowOf(scrollTop: number, height: number, rowHeight: number, count: number): Window {
  const first = Math.floor(Math.max(0, scrollTop) / rowHeight) - OVERSCAN_ROWS;
  const start = Math.min(Math.max(0, Math.floor(first / STEP_ROWS) * STEP_ROWS), count);
  const shown = Math.ceil(height / rowHeight) + 2 * OVERSCAN_ROWS + STEP_ROWS;
  return { start, end: Math.min(count, start + shown) };
}
