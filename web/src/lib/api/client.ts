/**
 * One request to the hub: JSON both ways, the CSRF token on whatever changes something, and every failure
 * an {@link ApiError} that says what is wrong and what to do.
 */

import type { Problem } from './types.ts';

export const REQUEST_TIMEOUT_MS = 15_000;

export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0 if the hub did not answer. */
    readonly status: number,
    message: string,
    readonly cure: string,
    readonly needs?: 'code',
  ) {
    super(message);
  }

  get unanswered(): boolean {
    return this.status === 0;
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export class Client {
  csrf = '';
  /** Called when the hub says that nobody is logged in, whatever was asked. */
  onUnauthorised: () => void = () => {};

  async request<T>(method: Method, path: string, body?: unknown): Promise<T> {
    const response = await this.#send(method, path, body);
    if (response.ok) return (await parsed(response)) as T;

    const problem = problemOf(await parsed(response), response);
    if (response.status === 401 && path !== '/api/login' && path !== '/api/session') this.onUnauthorised();
    throw problem;
  }

  get<T>(path: string): Promise<T> {
    return this.request<T>('GET', path);
  }

  async #send(method: Method, path: string, body: unknown): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (method !== 'GET') headers['X-CSRF-Token'] = this.csrf;
    try {
      return await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: 'same-origin',
        cache: 'no-store',
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
    } catch (cause) {
      throw unanswered(cause);
    }
  }
}

function unanswered(cause: unknown): ApiError {
  const slow = cause instanceof DOMException && cause.name === 'TimeoutError';
  return new ApiError(
    0,
    slow ? `The hub did not answer within ${REQUEST_TIMEOUT_MS / 1000} s.` : 'The hub cannot be reached.',
    'Check that tandem serve runs and that this computer reaches it, then try again.',
  );
}

async function parsed(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  try {
    return await response.json();
  } catch {
    if (!response.ok) return undefined;
    throw new ApiError(
      response.status,
      'The hub answered with something that is not JSON.',
      'Something between this browser and the hub may have answered in its place.',
    );
  }
}

function problemOf(body: unknown, response: Response): ApiError {
  const said = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
  const wait = response.headers.get('Retry-After');
  const cure = said.cure ?? (wait ? `Try again in ${wait} s.` : '');
  return new ApiError(
    response.status,
    said.error ?? `The hub answered ${response.status}.`,
    cure,
    said.needs ?? undefined,
  );
}
