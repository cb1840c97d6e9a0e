// Asking the gateway: with the token where there is one, and listening to what goes on.

const KEY = 'pulsegate-token';

let token = sessionStorage.getItem(KEY);
let locked = () => {};

export const hasToken = () => token !== null;
export function setToken(value) {
  token = value;
  if (value === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, value);
}
/** Called when a token is missing or wrong. */
export const onLocked = what => { locked = what; };

/** What went wrong, in the gateway's words where it has any. */
export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const used = token;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit' });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem(0, 'the gateway cannot be reached');
  }
  if (answer.ok) return answer;
  let text = `HTTP ${answer.status}`;
  try {
    text = (await answer.json()).error ?? text;
  } catch { /* It is not the gateway that answered. */ }
  if (answer.status === 401) {
    // An answer to an older token says nothing of this one.
    if (used === token) locked(token !== null);
  }
  throw new Problem(answer.status, text);
}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null && value !== ''));
  const answer = await request(`api/v1/${path}${query.size ? `?${query}` : ''}`, { signal: AbortSignal.timeout(15_000) });
  return answer.json();
}

export async function act(method, path, body) {
  const options = { method, signal: AbortSignal.timeout(15_000) };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { 'Content-Type': 'application/json' };
  }
  const answer = await request(`api/v1/${path}`, options);
  return answer.status === 204 ? null : answer.json();
}

// ---- the live stream ----

/** Without a word for so long, the stream is taken to be dead. */
const SILENCE = 12_000;
const BACKOFF = [1_000, 2_000, 4_000, 8_000, 15_000];

/** Listens for ever. `told.document`, `told.problem` and `told.state(name, text)` are called. */
export class Listener {
  constructor(told) {
    this.told = told;
    this.failures = 0;
    this.retry = 0;
    this.abort = null;
  }

  start() {
    this.stop();
    this.abort = new AbortController();
    this.run(this.abort).catch(() => {});
  }

  stop() {
    clearTimeout(this.retry);
    this.abort?.abort();
    this.abort = null;
  }

  async run(abort) {
    let why;
    try {
      why = await this.read(abort);
    } catch (e) {
      why = e;
    }
    if (this.abort !== abort) return;
    if (why === null) return this.start();
    if (why.status === 401) return this.told.state('locked', 'a token is required');
    const pause = BACKOFF[Math.min(this.failures, BACKOFF.length - 1)] * (0.8 + 0.4 * Math.random());
    this.failures += 1;
    const end = performance.now() + pause;
    const count = () => {
      const left = Math.ceil((end - performance.now()) / 1_000);
      if (left <= 0) return this.start();
      this.told.state('lost', `${why.message}; trying again in ${left} s`);
      this.retry = setTimeout(count, 500);
    };
    count();
  }

  /** Null: it ended as it should. */
  async read(abort) {
    let watch;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort(), SILENCE);
    };
    try {
      alive();
      const answer = await request('api/v1/live', { signal: abort.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '', any = false;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return any ? null : new Problem(0, 'the gateway said nothing');
        alive();
        rest += value;
        const events = rest.split('\n\n');
        rest = events.pop();
        // What came meanwhile is old: the last one counts.
        const event = events.pop();
        if (event === undefined) continue;
        any = true;
        this.failures = 0;
        const data = JSON.parse(event.slice(event.indexOf('data: ') + 6));
        if (event.startsWith('event: problem')) this.told.problem(data);
        else this.told.document(data);
      }
    } catch (e) {
      if (e instanceof Problem) return e;
      return new Problem(0, e.name === 'AbortError' ? 'the gateway fell silent' : 'the connection was lost');
    } finally {
      clearTimeout(watch);
    }
  }
}
