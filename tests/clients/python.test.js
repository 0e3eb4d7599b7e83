/** The Python client, which is another implementation of the protocol: over WebSocket, and over HTTP and a WebSocket. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { QUICK, Server, VERSIONS, ask, member, texts, until } from './setup.js';

for (const transports of ['websocket', 'polling', 'polling,websocket']) {
  test(`the Python client chats over ${transports}`, async (t) => {
    const server = await Server.start(t, { ...QUICK, CONFAB__SOCKETIO__POLLING: 'true' });
    const bo = await member(t, VERSIONS[2].io, server.url, 'Bo', 'R');
    const child = spawn(process.env.PYTHON, [fileURLToPath(new URL('client.py', import.meta.url)), server.url, transports], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill());
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    await until('it has said something', () => bo.messages.length === 1);
    assert.deepEqual(bo.messages[0], { user: 'Ada', text: 'from Python' });
    await ask(bo.socket, 'sendMessage', 'to Python');
    // Not 'exit': what it printed may still be on its way then.
    const [code] = await once(child, 'close');
    assert.equal(code, 0, out);
    assert.deepEqual(JSON.parse(out), {
      signin: [null, null],
      sent: [],
      unknown: 'There is no such event here.',
      heard: ['from Python', 'to Python'],
    });
    assert.deepEqual(texts(bo.messages), ['from Python', 'to Python']);
    await until('Bo hears that it left', () => bo.notifications.some(({ description }) => description === 'Ada just left the room'));
  });
}
