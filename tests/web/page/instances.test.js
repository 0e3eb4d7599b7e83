/** The page in front of two instances that share a Redis: one of them killed, Redis away, rotation between them. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { closeBrowser, figure, live, person, row, say, signIn, texts } from './browser.js';
import { failover } from './failover.js';
import { FAST, robot } from './robot.js';
import { Gate } from '../real/gate.js';
import { Redis } from '../real/redis.js';
import { Server, becomes, until } from '../real/server.js';

after(closeBrowser);

/** Two instances on one Redis, and a gate that leads to the first one. */
async function two(t, env = {}) {
  const redis = await Redis.start(t);
  const servers = [];
  for (const name of ['one', 'two']) {
    servers.push(await Server.start(t, { ...FAST, CONFAB__STORE__URL: redis.url, CONFAB__INSTANCE: name, ...env }));
  }
  const gate = await Gate.open(t, servers[0].port);
  return { redis, servers, gate };
}

test('people_on_two_instances_are_in_one_room', async (t) => {
  const { servers: [one, other] } = await two(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, `${one.url}?proof`, 'Ada');
  await signIn(bo, `${other.url}?proof`, 'Bo');
  for (const [page, name] of [[ada, 'one'], [bo, 'two']]) await becomes(() => figure(page, 'instance'), name);
  await say(ada, 'from one');
  await row(bo, 'from one').waitFor();
  await say(bo, 'from two');
  await becomes(() => texts(ada), ['from one', 'from two']);
  await becomes(() => texts(bo), ['from one', 'from two']);
  await becomes(() => ada.locator('.people-panel bdi').allTextContents(), ['Ada', 'Bo']);
  await becomes(async () => await figure(ada, 'chain') === await figure(bo, 'chain'), true);
});

test('a_killed_instance_is_replaced_by_the_other_and_nothing_is_lost_or_doubled', async (t) => {
  const { servers: [one, other], gate } = await two(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, `${gate.url}?proof`, 'Ada');
  await signIn(bo, other.url, 'Bo');
  await say(ada, 'before');
  await row(bo, 'before').waitFor();
  await one.kill();
  gate.behind = other.port;
  await say(ada, 'into the gap');
  await say(bo, 'said meanwhile');
  await row(ada, 'said meanwhile').waitFor();
  for (const text of ['into the gap', 'said meanwhile']) await row(bo, text).waitFor();
  await live(ada);
  await becomes(() => figure(ada, 'instance'), 'two');
  await becomes(() => ada.locator('.pending').count(), 0);
  const order = await texts(bo);
  assert.deepEqual([...order].sort(), ['before', 'into the gap', 'said meanwhile']);
  await becomes(() => texts(ada), order);
  await ada.getByRole('button', { name: 'Verify chain' }).click();
  await ada.getByText('2 links between offsets 1 and 3 recomputed: all agree.').waitFor();
});

test('while_redis_is_silent_the_page_says_so_and_what_is_written_waits_and_goes_out_once', async (t) => {
  const { redis, servers: [one, other] } = await two(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, one.url, 'Ada');
  await signIn(bo, other.url, 'Bo');
  redis.pause();
  t.after(() => redis.resume());
  await ada.getByText('The server can’t store right now.').waitFor();
  await say(ada, 'written meanwhile');
  await ada.getByText('1 message waits here and will be sent.').waitFor();
  await ada.locator('.pending', { hasText: 'written meanwhile' }).waitFor();
  redis.resume();
  for (const page of [ada, bo]) {
    await live(page);
    await becomes(() => texts(page), ['written meanwhile']);
  }
  await becomes(() => ada.locator('.pending').count(), 0);
});

test('a_redis_that_comes_back_empty_is_told_as_a_lost_log_and_what_waited_is_stored', async (t) => {
  const { redis, servers: [one] } = await two(t);
  const page = await person(t);
  await signIn(page, one.url, 'Ada');
  await say(page, 'before the fall');
  await row(page, 'before the fall').waitFor();
  await becomes(() => page.locator('.marks, .pending').count(), 0);
  await redis.kill();
  await page.getByText('The server can’t store right now.').waitFor();
  await say(page, 'during it');
  await redis.start();
  await page.getByText('The server lost this room’s messages').waitFor();
  await becomes(() => texts(page), ['during it']);
  await live(page);
});

test('a_failover_of_redis_is_told_on_both_instances_and_all_that_was_said_is_there_once', async (t) => {
  await failover(t, [await person(t), await person(t)]);
});

test('rotation_between_two_instances_every_five_seconds_is_not_seen', async (t) => {
  const { servers: [one, other], gate } = await two(t, { CONFAB__ROTATE_AFTER_MS: '5000' });
  const page = await person(t);
  await signIn(page, `${gate.url}?proof`, 'Ada');
  const { fill } = await robot(t, other.ws);
  await page.evaluate(() => {
    globalThis.states = new Set();
    const status = document.querySelector('.status');
    new MutationObserver(() => globalThis.states.add(status.dataset.state)).observe(status, { attributes: true });
  });
  const instances = new Set();
  await becomes(() => figure(page, 'instance'), 'one');
  let said = 0;
  while (instances.size < 2 || Number(await figure(page, 'connections')) < 3) {
    instances.add(await figure(page, 'instance'));
    gate.behind = instances.size % 2 ? other.port : one.port;
    await fill(1, () => `${said += 1}`);
    await until('it is here', async () => Number((await texts(page)).at(-1)) === said);
  }
  assert.deepEqual([...instances].sort(), ['one', 'two']);
  const shown = (await texts(page)).map(Number);
  assert.deepEqual(shown, Array.from(shown, (_, i) => said - shown.length + 1 + i), 'in order, once, without a gap');
  assert.deepEqual((await page.evaluate(() => [...globalThis.states])).filter((state) => state !== 'live'), []);
});
