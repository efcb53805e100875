/** What is said aloud, and what pops up. Errors interrupt; the rest waits its turn. */

import { ApiError } from './api/client.ts';

const TOAST_MS = 6_000;
const TOASTS_MAX = 5;

export interface Toast {
  id: number;
  kind: 'error' | 'done';
  text: string;
  cure: string;
}

class Announcer {
  /** For the polite live region. */
  said = $state('');
  toasts = $state<Toast[]>([]);
  #next = 1;

  say(text: string): void {
    // A region that is given the same text again stays silent.
    this.said = this.said === text ? `${text}\u00a0` : text;
  }

  done(text: string): void {
    const id = this.#add('done', text, '');
    setTimeout(() => this.dismiss(id), TOAST_MS);
  }

  /** Stays until it is dismissed: errors are read, not glimpsed. */
  failed(problem: unknown): void {
    if (problem instanceof ApiError) this.#add('error', problem.message, problem.cure);
    else this.#add('error', problem instanceof Error ? problem.message : String(problem), '');
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  #add(kind: Toast['kind'], text: string, cure: string): number {
    const id = this.#next++;
    this.toasts = [...this.toasts, { id, kind, text, cure }].slice(-TOASTS_MAX);
    return id;
  }
}

export const announcer = new Announcer();
