/** A real Redis of the test's own, on a free port of loopback. It ends with the test and keeps nothing over a restart. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, until } from './server.js';

export class Redis {
  #child;
  #folder;

  /**
   * @param {import('node:test').TestContext} t
   * @param {Redis} [primary] what it replicates; it has all of it then
   */
  static async start(t, primary) {
    const redis = new Redis();
    t.after(() => redis.kill());
    redis.port = await freePort();
    await redis.start();
    if (primary) {
      await redis.ask(`REPLICAOF 127.0.0.1 ${primary.port}`);
      await until('the primary has a replica', async () => (await primary.ask('INFO replication')).includes('state=online'));
    }
    return redis;
  }

  get url() { return `redis://127.0.0.1:${this.port}`; }

  async start() {
    // Of its own: a replica writes what it is sent into a file, which the next one there would start with.
    this.#folder = await mkdtemp(join(tmpdir(), 'redis-'));
    const options = { '--port': this.port, '--bind': '127.0.0.1', '--save': '', '--appendonly': 'no', '--dir': this.#folder, '--repl-diskless-sync-delay': 0 };
    const child = spawn('redis-server', Object.entries(options).flat().map(String), { stdio: 'ignore' });
    this.#child = child;
    let failed;
    child.on('error', (error) => { failed = error; });
    await until('Redis answers', async () => {
      if (failed) throw failed;
      const socket = connect(this.port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    });
  }

  /** Becomes a primary. */
  async promote() { await this.ask('REPLICAOF NO ONE'); }

  /** What it answers to one command, as far as it comes at once. */
  async ask(command) {
    const socket = connect(this.port, '127.0.0.1');
    try {
      socket.write(`${command}\r\n`);
      const [answer] = await once(socket, 'data');
      assert.ok(!String(answer).startsWith('-'), `${command}: ${answer}`);
      return String(answer);
    } finally {
      socket.destroy();
    }
  }

  /** It keeps its connections and answers nothing, as a machine that hangs. */
  pause() { this.#child.kill('SIGSTOP'); }

  resume() { this.#child.kill('SIGCONT'); }

  async kill() {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
    await rm(this.#folder, { recursive: true });
  }
}
