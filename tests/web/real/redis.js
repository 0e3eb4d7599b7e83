/** A real Redis of the test's own, on a free port of loopback. It ends with the test and keeps nothing over a restart. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { freePort, until } from './server.js';

export class Redis {
  #child;

  /** @param {import('node:test').TestContext} t */
  static async start(t) {
    const redis = new Redis();
    t.after(() => redis.kill());
    redis.port = await freePort();
    await redis.start();
    return redis;
  }

  get url() { return `redis://127.0.0.1:${this.port}`; }

  async start() {
    const options = { '--port': this.port, '--bind': '127.0.0.1', '--save': '', '--appendonly': 'no', '--dir': tmpdir() };
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

  /** It keeps its connections and answers nothing, as a machine that hangs. */
  pause() { this.#child.kill('SIGSTOP'); }

  resume() { this.#child.kill('SIGCONT'); }

  async kill() {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
