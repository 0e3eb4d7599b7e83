/** What the tests share: clients of several versions, two instances over one Redis, and waiting. */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { io as newest } from 'socket.io-client';
import { io as early } from 'socket.io-client-4.0';
import { io as middle } from 'socket.io-client-4.7';

import { Server, freePort, until } from '../web/real/server.js';

export { Server, until };

/** The npm client, by version. Those from 4.6 on resume by themselves. */
export const VERSIONS = [
  { version: '4.0.1', io: early, resumes: false },
  { version: '4.7.2', io: middle, resumes: true },
  { version: '4.8.4', io: newest, resumes: true },
];

/** Settings under which nothing waits long. */
export const QUICK = { CONFAB__LIMITS__SENDS_PER_SECOND: '1000000', CONFAB__LIMITS__SEND_BURST: '1000000' };

/**
 * A client as the tutorial's page makes one, with what it heard.
 * @param {import('node:test').TestContext} t
 */
export function connect(t, io, url, options = {}) {
  const socket = io(url, { transports: ['websocket'], reconnectionDelay: 20, reconnectionDelayMax: 100, forceNew: true, ...options });
  const heard = { socket, messages: [], notifications: [], recovered: [] };
  socket.on('message', (message) => heard.messages.push(message));
  socket.on('notification', (notification) => heard.notifications.push(notification));
  socket.on('connect', () => heard.recovered.push(socket.recovered));
  t.after(() => socket.disconnect());
  return heard;
}

/** Emits with a callback: the arguments of the answer. */
export function ask(socket, event, ...args) {
  return new Promise((resolve) => { socket.emit(event, ...args, (...answer) => resolve(answer)); });
}

/** A client that is in a room. */
export async function member(t, io, url, user, room, options) {
  const heard = connect(t, io, url, options);
  heard.answer = await ask(heard.socket, 'signin', { user, room });
  return heard;
}

/** A Redis of its own for a test. */
export async function redis(t) {
  const dir = await mkdtemp(join(tmpdir(), 'confab-redis-'));
  const port = await freePort();
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir], { stdio: 'ignore' });
  t.after(async () => {
    child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  });
  return `redis://127.0.0.1:${port}`;
}

/** So many instances over one Redis. */
export async function instances(t, count, env = {}) {
  const url = await redis(t);
  const settings = { ...QUICK, CONFAB__STORE__URL: url, CONFAB__STORE__DURABILITY: 'local', ...env };
  const servers = [];
  for (let each = 0; each < count; each += 1) servers.push(await Server.start(t, { ...settings, CONFAB__INSTANCE: `i${each}` }));
  return servers;
}

/** The texts of messages. */
export const texts = (messages) => messages.map(({ text }) => text);
