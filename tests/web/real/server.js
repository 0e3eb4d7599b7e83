/**
 * The real server for a test: the built binary on a port of its own, stopped when the test is over.
 *
 * `CONFAB_BIN` names the binary; `run` builds it and sets it.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

const BIN = process.env.CONFAB_BIN ?? fileURLToPath(new URL('../../../target/debug/confab', import.meta.url));
const READY_WITHIN_MS = 60_000;
/** Lets guests keep their tokens over a restart. It protects nothing but this test. */
export const TEST_KEY = 'a-key-for-tests-that-guards-nothing';

/** A port that nobody has at this moment. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Longer than anything takes on a machine that is busy with other tests. */
const PATIENCE_MS = 60_000;

/** Waits until `probe` gives something, or fails with `what` after a time. */
export async function until(what, probe, ms = PATIENCE_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}

/** Waits until what is read is as expected; what it was at last is in the failure. */
export async function becomes(read, expected) {
  let last;
  await until('as expected', async () => isDeepStrictEqual(last = await read(), expected)).catch(() => assert.deepEqual(last, expected));
}

export class Server {
  #child;
  #log = '';

  /** @param {Record<string, string>} [env] settings */
  constructor(env = {}) {
    this.env = env;
  }

  /** @param {import('node:test').TestContext} t @param {Record<string, string>} [env] */
  static async start(t, env) {
    const server = new Server(env);
    t.after(() => server.kill());
    server.port = await freePort();
    await server.start();
    return server;
  }

  get url() { return `http://127.0.0.1:${this.port}/`; }

  get ws() { return `ws://127.0.0.1:${this.port}/ws`; }

  async start() {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(this.port), CONFAB__AUTH__KEYS: TEST_KEY, ...this.env };
    const child = spawn(BIN, ['serve'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let failed;
    child.on('error', (error) => { failed = error; });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { this.#log = (this.#log + data).slice(-20_000); });
    await until('the server is ready', async () => {
      if (failed) throw failed;
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${this.#log}`);
      return (await fetch(`${this.url}health/ready`).catch(() => undefined))?.status === 200;
    }, READY_WITHIN_MS);
  }

  /** Ends the process without a warning, as a crash does. */
  async kill() { await this.#end('SIGKILL'); }

  /** Asks it to drain, as the platform does. */
  async stop() { await this.#end('SIGTERM'); }

  async #end(signal) {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }
}
