/**
 * One request to the hub: JSON both ways, the CSRF token on whatever changes something, and every failure
 * an {@link ApiError} that says what is wrong and what to do.
 */

import type { Problem } from './types.ts';

export const REQUEST_TIMEOUT_MS = 15_000;
/** For what a server has to do: the hub itself waits for it for 45 s, and knows more of what came of it. */
export const SERVER_TIMEOUT_MS = 55_000;

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
}

/** Of whoever gives an answer up by what comes of it, however long that takes. */
export interface Patience {
  /** Gives it up. */
  signal: AbortSignal;
  /** Called when the answer begins, and with each piece of it. */
  heard: () => void;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export class Client {
  csrf = '';
  /** Called when the hub says that nobody is logged in, whatever was asked. */
  onUnauthorised: () => void = () => {};

  async request<T>(
    method: Method,
    path: string,
    body?: unknown,
    patience: number | Patience = REQUEST_TIMEOUT_MS,
  ): Promise<T> {
    const response = await this.#send(method, path, body, patience);
    const answer = await parsed(response, (cause) => unanswered(cause, method, patience));
    if (response.ok) return answer as T;

    const problem = problemOf(answer, response);
    if (response.status === 401 && path !== '/api/login' && path !== '/api/session') this.onUnauthorised();
    throw problem;
  }

  get<T>(path: string, patience?: number | Patience): Promise<T> {
    return this.request<T>('GET', path, undefined, patience);
  }

  async #send(method: Method, path: string, body: unknown, patience: number | Patience): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (method !== 'GET') headers['X-CSRF-Token'] = this.csrf;
    try {
      const response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: 'same-origin',
        cache: 'no-store',
        signal: typeof patience === 'number' ? AbortSignal.timeout(patience) : patience.signal,
      });
      return typeof patience === 'number' ? response : followed(response, patience);
    } catch (cause) {
      throw unanswered(cause, method, patience);
    }
  }
}

/** The same answer, each piece of which is told as it comes. */
function followed(response: Response, { heard }: Patience): Response {
  heard();
  const pieces = new TransformStream({
    transform(piece, to) {
      heard();
      to.enqueue(piece);
    },
  });
  return new Response(response.body?.pipeThrough(pieces), response);
}

function unanswered(cause: unknown, method: Method, patience: number | Patience): ApiError {
  const slow = typeof patience === 'number' && cause instanceof DOMException && cause.name === 'TimeoutError';
  return new ApiError(
    0,
    slow ? `The hub did not answer within ${patience / 1000} s.` : 'The hub cannot be reached.',
    method === 'GET'
      ? 'Check that tandem serve runs and that this computer reaches it, then try again.'
      : 'It may have been done all the same: look before you try again.',
  );
}

async function parsed(response: Response, cutOff: (cause: unknown) => ApiError): Promise<unknown> {
  if (response.status === 204) return undefined;
  let text: string;
  try {
    text = await response.text();
  } catch (cause) {
    throw cutOff(cause);
  }
  try {
    return JSON.parse(text);
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
