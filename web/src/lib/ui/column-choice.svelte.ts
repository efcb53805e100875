/** Which columns are shown; a browser keeps it. What is kept is what is hidden, so new columns appear. */

import { keep, kept } from './kept.ts';

export class ColumnChoice {
  hidden = $state<string[]>([]);

  constructor(private readonly table: string) {
    this.hidden = (kept(`${table}.hidden`) ?? '').split(' ').filter(Boolean);
  }

  shows(column: string): boolean {
    return !this.hidden.includes(column);
  }

  toggle(column: string): void {
    this.hidden = this.shows(column)
      ? [...this.hidden, column]
      : this.hidden.filter((hidden) => hidden !== column);
    keep(`${this.table}.hidden`, this.hidden.length > 0 ? this.hidden.join(' ') : null);
  }
}
