/** The tutorial's events, with the genuine clients, on one instance. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import WebSocket from 'ws';

import { QUICK, Server, VERSIONS, ask, connect, member, texts, until } from './setup.js';

for (const { version, io } of VERSIONS) {
  test(`${version}: sign in, talk, leave`, async (t) => {
    const server = await Server.start(t, QUICK);
    const ada = await member(t, io, server.url, 'Ada', 'R');
    assert.deepEqual(ada.answer, [null, null]);
    const bo = await member(t, io, server.url, 'Bo', 'R');
    await until('Ada hears of Bo', () => ada.notifications.length === 1);
    assert.deepEqual(ada.notifications[0], { title: "Someone's here", description: 'Bo just entered the room' });
    assert.deepEqual(await ask(ada.socket, 'sendMessage', 'hello'), []);
    await until('both hear it', () => ada.messages.length === 1 && bo.messages.length === 1);
    assert.deepEqual(bo.messages[0], { user: 'Ada', text: 'hello' });
    const cy = await member(t, io, server.url, 'Cy', 'R');
    assert.deepEqual(cy.answer, [null, { room: 'R', messages: [{ user: 'Ada', text: 'hello' }] }]);
    await until('Bo hears of Cy, and not of himself', () => bo.notifications.length > 0);
    bo.socket.disconnect();
    await until('Ada hears that Bo left', () => ada.notifications.some(({ description }) => description === 'Bo just left the room'));
    assert.deepEqual(bo.notifications.map(({ description }) => description), ['Cy just entered the room']);
  });

  test(`${version}: wrong and unknown calls are answered, and the connection stays`, async (t) => {
    const server = await Server.start(t, QUICK);
    const { socket } = connect(t, io, server.url);
    assert.deepEqual(await ask(socket, 'sendMessage', 'to nobody'), ['User session not found.']);
    assert.deepEqual(await ask(socket, 'signin', { user: '', room: '' }), ['Username and room are required']);
    assert.deepEqual(await ask(socket, 'signin', null), ['Username and room are required']);
    assert.deepEqual(await ask(socket, 'signin', { user: 'Ada', room: ['R', 'S'] }), ['Room must be a text']);
    assert.deepEqual(await ask(socket, 'drawing', { x: 1 }), ['There is no such event here.']);
    socket.emit('signin');
    socket.emit('updateSocketId');
    socket.emit('sendMessage');
    socket.emit('sendMessage', Buffer.from('bytes'));
    assert.deepEqual(await ask(socket, 'signin', { user: 'Ada', room: 'R' }), [null, null]);
    assert.ok(socket.connected);
  });

  test(`${version}: another namespace is refused`, async (t) => {
    const server = await Server.start(t, QUICK);
    const { socket } = connect(t, io, `${server.url}admin`);
    const error = await new Promise((resolve) => { socket.on('connect_error', resolve); });
    assert.equal(error.message, 'Invalid namespace');
  });

  test(`${version}: with polling allowed it begins with HTTP and moves to a WebSocket`, async (t) => {
    const server = await Server.start(t, { ...QUICK, CONFAB__SOCKETIO__POLLING: 'true' });
    const ada = await member(t, io, server.url, 'Ada', 'R', { transports: ['polling', 'websocket'] });
    const bo = await member(t, io, server.url, 'Bo', 'R', { transports: ['polling'] });
    await until('Ada has moved', () => ada.socket.io.engine.transport.name === 'websocket');
    assert.equal(bo.socket.io.engine.transport.name, 'polling');
    for (let number = 0; number < 20; number += 1) ada.socket.emit('sendMessage', `from Ada ${number}`);
    for (let number = 0; number < 20; number += 1) assert.deepEqual(await ask(bo.socket, 'sendMessage', `from Bo ${number}`), []);
    await until('all is heard', () => ada.messages.length === 40 && bo.messages.length === 40);
    assert.deepEqual(texts(ada.messages), texts(bo.messages));
  });
}

test('native and Socket.IO clients are in one room', async (t) => {
  const server = await Server.start(t, QUICK);
  const ada = await member(t, VERSIONS[2].io, server.url, 'Ada', 'R');
  const native = new WebSocket(server.ws);
  t.after(() => native.terminate());
  const heard = [];
  native.on('message', (data) => heard.push(...String(data).split('\n').map((line) => JSON.parse(line))));
  await new Promise((resolve) => { native.on('open', resolve); });
  native.send(JSON.stringify({ type: 'hello', id: 1, name: 'Nat' }));
  native.send(JSON.stringify({ type: 'join', id: 2, room: 'R' }));
  await until('Ada hears of Nat', () => ada.notifications[0]?.description === 'Nat just entered the room');
  await ask(ada.socket, 'sendMessage', 'from Socket.IO');
  native.send(JSON.stringify({ type: 'send', id: 3, room: 'R', key: 'k', text: 'from the native side' }));
  await until('both hear both', () => ada.messages.length === 2 && heard.filter(({ type }) => type === 'message').length === 2);
  assert.deepEqual(texts(ada.messages), ['from Socket.IO', 'from the native side']);
});

test('the scripts that are served are those of the package', async (t) => {
  const server = await Server.start(t, QUICK);
  const sums = await readFile(new URL('../../web/socket.io/SHA256SUMS', import.meta.url), 'utf8');
  const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
  for (const name of ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js']) {
    const packaged = await readFile(new URL(`node_modules/socket.io-client/dist/${name}`, import.meta.url));
    const answer = await fetch(`${server.url}socket.io/${name}`);
    assert.equal(answer.headers.get('content-type'), 'text/javascript; charset=utf-8');
    assert.equal(sha(Buffer.from(await answer.arrayBuffer())), sha(packaged), name);
    assert.ok(sums.includes(`${sha(packaged)}  ${name}`), name);
  }
});
