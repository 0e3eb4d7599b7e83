/** Two people on two instances while their Redis fails over: what a test asserts and a picture shows. */

import { live, row, say, signIn, texts } from './browser.js';
import { Gate } from '../real/gate.js';
import { Redis } from '../real/redis.js';
import { Server, becomes } from '../real/server.js';

const TALK = ['Morning! I’m on one instance.', 'And I on another.', 'Today the primary goes. Keep writing.'];
const MEANWHILE = 'Written while there is no Redis.';
const AFTERWARDS = 'And on we go, on the replica.';

/** In order. */
const SAID = [...TALK, MEANWHILE, AFTERWARDS];

/** Both show the same messages, the newest in the list of rooms too, and wait for none. */
async function agree(pages, said) {
  for (const page of pages) {
    await live(page);
    await becomes(() => texts(page), said);
    await becomes(() => page.locator('.pending, .marks').count(), 0);
    await page.locator('.room', { hasText: said.at(-1) }).waitFor();
  }
}

/**
 * Kills the primary under two pages that chat, promotes its replica, and lets another one follow that.
 * @param {import('node:test').TestContext} t
 * @param {import('playwright-core').Page[]} pages of two people
 * @param {(state: 'during' | 'after') => Promise<void>} [look] while it is away, and when all is well again
 */
export async function failover(t, pages, look = async () => {}) {
  const primary = await Redis.start(t);
  const replica = await Redis.start(t, primary);
  // The address that instances know stays, as Memorystore's does.
  const address = await Gate.open(t, primary.port);
  const [ada, grace] = pages;
  for (const [page, name, instance] of [[ada, 'Ada', 'one'], [grace, 'Grace', 'two']]) {
    const server = await Server.start(t, { CONFAB__STORE__URL: `redis://127.0.0.1:${address.port}`, CONFAB__INSTANCE: instance });
    await signIn(page, server.url, name, 'operations');
  }
  for (const [number, text] of TALK.entries()) {
    await say(pages[number % 2], text);
    for (const page of pages) await row(page, text).waitFor();
  }
  await agree(pages, TALK);

  await primary.kill();
  for (const page of pages) await page.getByText('The server can’t store right now.').waitFor();
  await say(ada, MEANWHILE);
  await ada.locator('.pending', { hasText: MEANWHILE }).waitFor();
  await becomes(() => texts(grace), TALK);
  await look('during');

  address.behind = replica.port;
  await replica.promote();
  await Redis.start(t, replica);
  await agree(pages, [...TALK, MEANWHILE]);
  await say(grace, AFTERWARDS);
  await agree(pages, SAID);
  await look('after');
}
