// The typed client, made from the server's own description. It adds the key and turns every failure into an exception.
import createClient, { type Middleware } from 'openapi-fetch';
import { session } from '../state/session.svelte';
import { problemFrom } from './problem';
import type { paths } from './schema';

const signed: Middleware = {
  onRequest({ request }) {
    if (!request.headers.has('Authorization')) {
      request.headers.set('Authorization', `Bearer ${session.key ?? ''}`);
    }
    return request;
  },
  onResponse({ request, response }) {
    // A key that is only being tried ends no session.
    const own = request.headers.get('Authorization') === `Bearer ${session.key}`;
    if (response.status === 401 && own) session.end('This key is no longer valid. Sign in again.');
  },
};

export const client = createClient<paths>({ cache: 'no-store', credentials: 'omit' });
client.use(signed);

export interface Answer<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

/** What was answered, if it went well. */
export async function data<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw problemFrom(response.status, error);
  return data as T;
}
