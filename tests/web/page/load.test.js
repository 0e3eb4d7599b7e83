import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { browser, closeBrowser, person, row, signIn } from './browser.js';
import { FAST, robot } from './robot.js';
import { Server, until } from '../real/server.js';

after(closeBrowser);

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

test('a_hundred_messages_a_second_leave_the_page_responsive', async (t) => {
  const server = await Server.start(t, FAST);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  const { room } = await robot(t, server.ws);
  const chromium = await browser();
  await chromium.startTracing(page, { categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline', 'toplevel', '__metadata'] });
  const began = Date.now();
  for (let i = 1; i <= 500; i += 1) {
    room.send(`message ${i} of a busy room, with \`code\` and https://host.test/${i}`);
    await pause(Math.max(0, began + i * 10 - Date.now()));
  }
  await row(page, 'message 500 ').waitFor();
  const { traceEvents } = JSON.parse(await chromium.stopTracing());
  const main = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
  // The time that a task had the processor: what others did on this machine meanwhile says nothing about the page.
  const tasks = traceEvents.filter(({ name, ph, pid, tid }) => ph === 'X' && /RunTask$/.test(name) && main.has(`${pid} ${tid}`)).map(({ tdur = 0 }) => tdur / 1000).sort((a, b) => b - a);
  assert.ok(tasks.length > 100, 'the trace holds the tasks');
  t.diagnostic(`the longest tasks: ${tasks.slice(0, 3).map((ms) => `${ms.toFixed(1)} ms`).join(', ')} of ${tasks.length}`);
  // The aim is 50 ms; the processor of this machine may be three times slower than the one that was aimed at.
  assert.ok(tasks[0] <= 150, `a task of ${tasks[0]} ms`);
  await until('rows are bounded', async () => await page.locator('[data-offset]').count() <= 240);
});

test('entering_a_room_shifts_nothing', async (t) => {
  const server = await Server.start(t, FAST);
  const { room, client } = await robot(t, server.ws);
  for (let i = 1; i <= 60; i += 1) room.send(`message ${i}`);
  await until('all is stored', () => client.outbox.length === 0);
  const page = await person(t);
  await page.addInitScript(() => {
    globalThis.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await signIn(page, server.url, 'Ada');
  await row(page, 'message 60').waitFor();
  await page.reload();
  await row(page, 'message 60').waitFor();
  await pause(500);
  const shift = await page.evaluate(() => globalThis.shift);
  t.diagnostic(`layout shift: ${shift.toFixed(4)}`);
  assert.ok(shift < 0.01, `${shift}`);
});

test('memory_is_flat_over_twenty_thousand_messages', async (t) => {
  const server = await Server.start(t, FAST);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  // Each robot has one send on its way: several of them make better use of the path.
  const robots = await Promise.all(Array.from({ length: 16 }, () => robot(t, server.ws)));
  const [{ room }] = robots;
  const session = await page.context().newCDPSession(page);
  const heapAt = async (count) => {
    while (room.log.position.offset < count) {
      for (const one of robots) for (let i = 0; i < 50; i += 1) one.room.send(`message ${i}`);
      await until('a batch is stored', () => robots.every(({ client }) => client.outbox.length === 0), 120_000);
      for (const one of robots) one.room.log.trim(100);
    }
    await until('the page has it', async () => Number(await page.locator('[data-offset]').last().getAttribute('data-offset')) >= room.log.position.offset, 120_000);
    await session.send('HeapProfiler.collectGarbage');
    return (await session.send('Runtime.getHeapUsage')).usedSize / 2 ** 20;
  };
  // The page keeps up to 4,500 entries of a room; from there on it must not grow.
  const early = await heapAt(6000);
  const late = await heapAt(20_000);
  t.diagnostic(`heap after 6,000 messages: ${early.toFixed(1)} MiB, after 20,000: ${late.toFixed(1)} MiB`);
  assert.ok(late < early * 1.25 + 1, `${early} MiB became ${late} MiB`);
});

test('a_message_is_shown_on_another_screen_at_once', async (t) => {
  const server = await Server.start(t, FAST);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, server.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  // The page's clock and the test's are the same machine's.
  await bo.evaluate(() => {
    globalThis.shownAt = {};
    new MutationObserver(() => {
      for (const text of document.querySelectorAll('.message[data-offset] .text')) globalThis.shownAt[text.textContent] ??= Date.now();
    }).observe(document.querySelector('.place'), { subtree: true, childList: true });
  });
  const typedAt = {};
  for (let i = 1; i <= 100; i += 1) {
    await ada.fill('#box', `fast ${i}`);
    typedAt[`fast ${i}`] = Date.now();
    await ada.press('#box', 'Enter');
    await row(bo, new RegExp(`fast ${i}$`)).waitFor();
  }
  const shownAt = await bo.evaluate(() => globalThis.shownAt);
  const waits = Object.keys(typedAt).map((text) => shownAt[text] - typedAt[text]).sort((a, b) => a - b);
  const [p50, p95] = [0.5, 0.95].map((part) => waits[Math.floor(waits.length * part)]);
  t.diagnostic(`typed to shown on another screen: p50 ${p50} ms, p95 ${p95} ms over ${waits.length} messages`);
  // Half of them, because whatever else runs on this machine holds up some.
  assert.ok(p50 < 500, `p50 ${p50} ms`);
});
