import { afterEach, expect, test, vi } from 'vitest';
import { Client } from '../src/lib/api/client.ts';

afterEach(() => vi.unstubAllGlobals());

/** Answers with what the test gives it, piece by piece, until that is given up. */
function trickling(): ReadableStreamDefaultController<Uint8Array> {
  let to!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (controller) => void (to = controller) });
  vi.stubGlobal('fetch', async (_: string, { signal }: RequestInit) => {
    signal!.addEventListener('abort', () => to.error(signal!.reason));
    return new Response(body, { status: 200 });
  });
  return to;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const settled = () => new Promise<void>((resolve) => setTimeout(resolve));

test('who has patience is told of each piece of an answer, and has it whole', async () => {
  const to = trickling();
  const heard = vi.fn();
  const answer = new Client().get('/x', { signal: new AbortController().signal, heard });
  await settled();
  expect(heard).toHaveBeenCalledTimes(1);
  to.enqueue(bytes('{"a"'));
  await settled();
  expect(heard).toHaveBeenCalledTimes(2);
  to.enqueue(bytes(':1}'));
  to.close();
  expect(await answer).toEqual({ a: 1 });
  expect(heard).toHaveBeenCalledTimes(3);
});

test('who loses it has no answer, and nothing more is sent for it', async () => {
  const to = trickling();
  const asked = new AbortController();
  const answer = new Client().get('/x', { signal: asked.signal, heard: () => {} });
  await settled();
  to.enqueue(bytes('{"a"'));
  asked.abort();
  await expect(answer).rejects.toThrow();
  expect(to.desiredSize).toBeNull();
});

test('an answer that is not whole in time is late, and not something else', async () => {
  const body = new ReadableStream({ start: (to) => to.error(new DOMException('', 'TimeoutError')) });
  vi.stubGlobal('fetch', async () => new Response(body, { status: 200 }));
  await expect(new Client().get('/x', 1000)).rejects.toThrow('The hub did not answer within 1 s.');
});
