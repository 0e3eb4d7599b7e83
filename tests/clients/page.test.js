/** The tutorial's way through its events, in a real browser, by a page of our own that loads the script from the service. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { QUICK, Server, VERSIONS, ask, member, until } from './setup.js';

/** Signs in, sends, and shows what it hears; after a lost connection it says who it is again, as the tutorial has it. */
const page = (service) => `<!doctype html>
<meta charset="utf-8">
<title>A page with the tutorial's events</title>
<ul id="log"></ul>
<script src="${service}socket.io/socket.io.js"></script>
<script>
  const show = (line) => { const item = document.createElement('li'); item.textContent = line; document.getElementById('log').append(item); };
  const who = Object.fromEntries(new URLSearchParams(location.search));
  const socket = io('${service}', { transports: ['websocket'], reconnectionDelay: 50, reconnectionDelayMax: 200 });
  let signedIn = false;
  socket.on('connect', () => {
    if (signedIn) return socket.emit('updateSocketId', who);
    socket.emit('signin', who, (error, history) => {
      signedIn = !error;
      show(error ?? 'signed in with ' + (history?.messages.length ?? 0));
    });
  });
  socket.on('message', ({ user, text }) => show(user + ': ' + text));
  socket.on('notification', ({ description }) => show(description));
  window.say = (text) => socket.emit('sendMessage', text, (error) => { if (error) show(error); });
</script>`;

test('a page in a browser loads the script, signs in, talks, and sends what was written offline', async (t) => {
  const server = createServer((request, response) => { response.setHeader('content-type', 'text/html').end(page(confab.url)); });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const origin = `http://127.0.0.1:${server.address().port}`;
  const confab = await Server.start(t, { ...QUICK, CONFAB__HTTP__ALLOWED_ORIGINS: origin });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
  t.after(() => browser.close());
  const tab = await browser.newPage();
  const errors = [];
  tab.on('pageerror', (error) => errors.push(error));
  await tab.goto(`${origin}/?user=Ada&room=R`);
  const lines = () => tab.locator('li').allTextContents();
  await until('she is signed in', async () => (await lines())[0] === 'signed in with 0');
  const bo = await member(t, VERSIONS[2].io, confab.url, 'Bo', 'R');
  await until('the page shows that Bo came', async () => (await lines()).length === 2);
  const script = '<img src=x onerror="alert(1)">';
  await ask(bo.socket, 'sendMessage', script);
  await tab.evaluate(() => window.say('hello from the page'));
  await until('both hear both', async () => (await lines()).length === 4 && bo.messages.length === 2);
  assert.deepEqual(await lines(), ['signed in with 0', 'Bo just entered the room', `Bo: ${script}`, 'Ada: hello from the page']);
  await tab.context().setOffline(true);
  await tab.evaluate(() => window.say('written offline'));
  await tab.context().setOffline(false);
  await until('what was written offline is there', () => bo.messages.some(({ text }) => text === 'written offline'));
  assert.deepEqual(errors, []);
});
