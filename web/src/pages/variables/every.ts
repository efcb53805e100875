/** How often what the cache servers hold is asked for, while the page is seen. */
export const EVERY_MS = 2_000;
