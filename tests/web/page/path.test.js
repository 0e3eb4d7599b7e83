/** What happens to the path between the page and the server, and to the page itself. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { PLAIN_HOST, cachingBrowser, choose, closeBrowser, figure, live, person, row, say, seem, signIn, texts } from './browser.js';
import { FAST, robot } from './robot.js';
import { Gate } from '../real/gate.js';
import { Server, becomes, until } from '../real/server.js';

after(closeBrowser);

/** The states that the page went through since, the first call apart. */
const watchStates = (page) => page.evaluate(() => {
  globalThis.states = [];
  const status = document.querySelector('.status');
  new MutationObserver(() => globalThis.states.push(status.dataset.state)).observe(status, { attributes: true });
});

test('rotation_every_five_seconds_is_not_seen_and_loses_nothing', async (t) => {
  const server = await Server.start(t, { ...FAST, CONFAB__ROTATE_AFTER_MS: '5000' });
  const page = await person(t);
  await signIn(page, `${server.url}?proof`, 'Ada');
  const { client, room } = await robot(t, server.ws);
  await watchStates(page);
  const said = [];
  while (Number(await figure(page, 'connections')) < 3) {
    said.push(`mine ${said.length}`);
    await say(page, said.at(-1));
    said.push(`theirs ${said.length}`);
    room.send(said.at(-1));
    await row(page, said.at(-2)).waitFor();
    await row(page, said.at(-1)).waitFor();
  }
  await until('all is stored', () => client.outbox.length === 0);
  await becomes(() => page.locator('.pending').count(), 0);
  // Nothing missing, nothing twice. Who of two was first is the server's to say, so the oldest pair may be cut in two.
  const shown = await texts(page);
  const once = new Set(shown);
  assert.equal(once.size, shown.length, 'nothing is shown twice');
  assert.deepEqual(said.slice(2 - shown.length).filter((text) => !once.has(text)), []);
  assert.deepEqual(await page.evaluate(() => globalThis.states.filter((state) => state !== 'live')), []);
});

test('a_path_that_went_half_open_is_found_and_replaced', async (t) => {
  const server = await Server.start(t, { CONFAB__HEARTBEAT_MS: '1000', CONFAB__HEARTBEAT_TIMEOUT_MS: '1000' });
  const page = await person(t);
  await signIn(page, `${server.url}?proof`, 'Ada');
  const { fill } = await robot(t, server.ws);
  await page.getByRole('button', { name: 'Go half-open' }).click();
  await fill(1, () => 'are you there?');
  await say(page, 'written into the void');
  await row(page, 'are you there?').waitFor();
  await row(page, 'written into the void').waitFor();
  await becomes(() => page.locator('.pending').count(), 0);
  await until('the panel tells of another connection', async () => Number(await figure(page, 'connections')) >= 2);
  await until('the panel tells of what it resumed', async () => Number(await figure(page, 'resumed')) >= 1);
});

test('a_page_out_of_the_back_forward_cache_goes_on_where_it_was', async (t) => {
  const server = await Server.start(t, { CONFAB__PRESENCE__GRACE_MS: '500' });
  const { client, fill } = await robot(t, server.ws);
  const page = await person(t, { within: cachingBrowser() });
  await page.addInitScript(() => addEventListener('pageshow', ({ persisted }) => { globalThis.persisted = persisted; }));
  await signIn(page, server.url, 'Ada');
  await until('the robot was told of Ada', () => client.rooms.get('den').memberCount === 2);
  await page.fill('#box', 'half a thought');
  await page.goto(`${server.url}version`);
  // The socket is given back at once, so that the server isn't left with one that nobody hears.
  await until('the page has left', () => client.rooms.get('den').memberCount === 1);
  await fill(1, () => 'meanwhile');
  await page.goBack({ waitUntil: 'commit' });
  await row(page, 'meanwhile').waitFor();
  await live(page);
  assert.equal(await page.evaluate(() => globalThis.persisted), true, 'the very page is back, not a new one');
  await becomes(() => page.inputValue('#box'), 'half a thought');
});

test('coming_back_to_a_page_that_was_not_cached_shows_what_was_missed', async (t) => {
  const server = await Server.start(t);
  const { fill } = await robot(t, server.ws);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await page.goto('about:blank');
  await fill(1, () => 'meanwhile');
  await page.goBack();
  await live(page);
  await row(page, 'meanwhile').waitFor();
});

test('a_device_without_a_network_says_so_and_dials_when_it_has_one', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  await page.context().setOffline(true);
  gate.mode = 'down';
  gate.cut();
  await page.getByText('This device is offline.').waitFor();
  await say(page, 'from the tunnel');
  await page.getByText('1 message waits here.').waitFor();
  gate.mode = 'open';
  await page.context().setOffline(false);
  await live(page);
  await row(page, 'from the tunnel').waitFor();
});

test('try_now_dials_at_once', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await page.addInitScript(() => { Math.random = () => 0.999; });
  await signIn(page, gate.url, 'Ada');
  gate.mode = 'closed';
  gate.cut();
  // By now an attempt is many seconds away.
  await page.locator('.status', { hasText: /Reconnecting in ([89]|1\d) s/ }).waitFor();
  gate.mode = 'open';
  const began = Date.now();
  await page.getByRole('button', { name: 'Try now' }).click();
  await live(page);
  t.diagnostic(`live ${Date.now() - began} ms after the click`);
});

test('over_plain_http_the_page_writes_and_verifies_with_what_a_browser_has_there', async (t) => {
  const server = await Server.start(t, FAST);
  const page = await person(t, { allow: /Cross-Origin-Opener-Policy header has been ignored/ });
  await signIn(page, `http://${PLAIN_HOST}:${server.port}/?proof`, 'Ada');
  assert.deepEqual(await page.evaluate(() => [isSecureContext, typeof crypto.subtle, typeof crypto.randomUUID]), [false, 'undefined', 'undefined']);
  for (const text of ['one', 'zwei', '三']) await say(page, text);
  await row(page, '三').waitFor();
  await becomes(() => page.locator('.pending').count(), 0);
  await page.getByRole('button', { name: 'Verify chain' }).click();
  await page.getByText('2 links between offsets 1 and 3 recomputed: all agree.').waitFor();
});

test('a_server_that_speaks_another_protocol_is_told_apart_from_a_broken_path', async (t) => {
  const server = await Server.start(t);
  const page = await person(t, { allow: /./ });
  await page.routeWebSocket(/\/ws$/, (socket) => socket.onMessage((frame) => {
    const { id, type } = JSON.parse(String(frame));
    // What an older or newer server does with a command it doesn't know, ten times in a row.
    socket.send(JSON.stringify({ type: 'error', id, code: 'unknown_type', message: `no ${type}` }));
  }));
  await page.goto(server.url);
  await page.fill('#name', 'Ada');
  await page.click('button:has-text("Enter")');
  await page.getByText('The server doesn’t know this action. Reload the page: one of the two is older.').waitFor();
  await page.locator('.status[data-state="refused"]').waitFor();
});

test('a_sleeping_page_is_woken_by_hand_too_and_one_with_notifications_never_sleeps', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.addInitScript(() => {
    globalThis.Notification = class { static permission = 'granted'; static requestPermission = async () => 'granted'; };
  });
  await page.clock.install();
  await signIn(page, server.url, 'Ada');
  await seem(page, 'hidden');
  await page.clock.fastForward(16 * 60_000);
  await page.waitForSelector('.status[data-state="asleep"]', { state: 'attached' });
  await page.getByRole('button', { name: 'Wake up' }).click();
  await live(page);
  await seem(page, 'visible');
  await choose(page, 'Notify me of new messages');
  await seem(page, 'hidden');
  await page.clock.fastForward(60 * 60_000);
  await page.clock.runFor(5000);
  await live(page);
});
