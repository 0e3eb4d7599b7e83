/**
 * Pictures of the page's states, each wide and narrow, light and dark, and of two pages while Redis fails over, all from
 * the real server: `run --screenshots DIR [states | failover]`.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { Client } from '../../../web/client/index.js';
import { browser, closeBrowser, live, row, say, signIn } from './browser.js';
import { failover } from './failover.js';
import { Gate } from '../real/gate.js';
import { Server, freePort, until } from '../real/server.js';

const [, , folder, part] = process.argv;
const PAIR = { width: 860, height: 500 };
const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 375, height: 720 } };

/** What the pictures show being said, in order. */
const TALK = [
  ['Ada', 'Morning! Today’s list is at https://wiki.example/today (short one).'],
  ['Ada', 'I’ll take the settings. Who looks at the dashboards?'],
  ['Grace', 'Me. `confab check` first, then the graphs.', 2],
  ['Linus', 'I’ll be in a tunnel from ten to eleven. What I write there goes out when I’m back.'],
  ['Grace', '🎉👏'],
  ['שרה', 'בוקר טוב! אני מצטרפת לפגישה ב־10:30'],
  ['Ada', 'For the poster:\n```\nA room is a log,\na client is a position in it.\n```'],
];

/** Undoes what `after` of a test would. */
const ends = [];
const t = { after: (end) => ends.unshift(end) };

async function talkIn(server) {
  const people = {};
  for (const name of new Set(TALK.map(([one]) => one))) {
    const client = new Client({ url: server.ws, name, WebSocket });
    ends.unshift(() => client.close());
    people[name] = { client, room: client.join('operations'), side: client.join('lunch') };
    client.connect();
    await until(`${name} is live`, () => people[name].room.state === 'live' && people[name].side.state === 'live');
  }
  const done = () => until('all is stored', () => Object.values(people).every(({ client }) => client.outbox.length === 0));
  for (const [name, text, replyTo] of TALK) {
    people[name].room.send(text, { replyTo });
    await done();
  }
  people.Grace.room.react(1, '👍', true);
  people.Linus.room.react(1, '👍', true);
  people.Ada.room.react(4, '😂', true);
  people.Linus.side.send('Anyone for noodles at noon?');
  await done();
  return people;
}

async function take(page, name, theme, hovering = false) {
  if (!hovering) await page.mouse.move(0, 0);
  await page.waitForTimeout(250); // transitions of the browser's own widgets
  await page.screenshot({ path: join(folder, `${name}-${theme}.png`) });
}

async function states(gate, people, size, theme) {
  const context = await (await browser()).newContext({ viewport: SIZES[size], colorScheme: theme, locale: 'en-GB', reducedMotion: 'reduce', isMobile: size === 'narrow', hasTouch: size === 'narrow' });
  const page = await context.newPage();
  const shot = (state, hovering) => take(page, `${state}-${size}`, theme, hovering);
  await page.goto(gate.url);
  await page.waitForSelector('#name');
  await shot('01-signed-out');
  await signIn(page, gate.url, 'Barbara', 'quiet corner');
  await page.getByText('Nothing here yet').waitFor();
  await shot('02-empty-room');
  await page.getByRole('button', { name: 'OK' }).click();
  for (const room of ['lunch', 'operations']) {
    await page.goto(`${gate.url}#room=${room}`);
    await until('the room is open', async () => await page.locator('.bar h1').textContent() === room);
  }
  await row(page, 'poster').waitFor();
  if (size === 'wide') await row(page, 'then the graphs').locator('.head').hover();
  await shot('03-room', size === 'wide');
  if (size === 'narrow') {
    await page.getByRole('button', { name: 'Rooms' }).click();
    await shot('04-rooms');
    await page.getByRole('button', { name: 'Rooms' }).click();
  } else {
    await page.goto(`${gate.url}?proof#room=operations`);
    await row(page, 'poster').waitFor();
    await page.getByRole('button', { name: 'Verify chain' }).click();
    await page.getByText('all agree').waitFor();
    await page.locator('.proof dd', { hasText: 'live' }).first().waitFor();
    await shot('04-proof');
    await page.goto(`${gate.url}#room=operations`);
  }
  await live(page);
  await page.getByRole('button', { name: 'Menu' }).click();
  await shot('05-menu');
  await page.getByRole('button', { name: 'Keys and help' }).click();
  await shot('06-help');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Insert an emoji' }).click();
  await shot('07-emoji');
  await page.keyboard.press('Escape');
  await page.locator('[data-offset="2"] .text').click({ position: { x: 20, y: 10 } });
  await page.getByRole('button', { name: 'Reply', exact: true }).click();
  await page.fill('#box', 'Two lines\nof a reply in hand');
  await shot('08-reply');
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await page.locator('.send').click();
  await page.locator('.pending').waitFor();
  await shot('09-offline');
  gate.mode = 'open';
  await page.locator('.status button').click();
  await live(page);
  await until('nothing waits', async () => await page.locator('.pending').count() === 0);
  await until('the reader is above', async () => {
    await page.evaluate(() => { document.querySelector('.timeline').scrollTop = 0; });
    return page.getByRole('button', { name: '↓ Latest' }).isVisible();
  });
  await shot('10-sent-and-scrolled');
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('button', { name: 'Find a message…' }).click();
  await page.fill('#find', 'the');
  await page.getByText('found.').waitFor();
  await shot('11-find');
  await page.keyboard.press('Escape');
  const { client } = people.Grace;
  people.Linus.side.send('**Noodles** it is: *12:15* at the corner. ~~12:00~~');
  await client.rename('Grace, whose name goes on for quite a while, as some names do');
  for (let i = 0; i < 3; i += 1) people.Ada.side.send(i === 2 ? 'Averyveryverylongwordwithoutanyspacethatgoesonandonandonandonandonandon.' : 'Save me a seat!');
  people.Grace.side.send('See you there.');
  await until('all is stored', () => Object.values(people).every((one) => one.client.outbox.length === 0));
  await page.locator('.badge', { hasText: '5' }).waitFor({ state: 'attached' });
  if (size === 'narrow') await page.getByRole('button', { name: 'Rooms' }).click();
  await page.locator('.room', { hasText: 'lunch' }).click();
  await row(page, 'See you there').waitFor();
  await shot('12-new');
  await context.close();
}

/** One size and theme, with a server of its own, so that no picture shows what another run wrote. */
async function run(size, theme) {
  try {
    const server = new Server({ CONFAB__LIMITS__SENDS_PER_SECOND: '1000', CONFAB__LIMITS__SEND_BURST: '1000' });
    ends.unshift(() => server.kill());
    server.port = await freePort();
    await server.start();
    const gate = await Gate.open(t, server.port);
    await states(gate, await talkIn(server), size, theme);
  } finally {
    for (const end of ends.splice(0)) await end();
  }
}

/** Two windows side by side, on two instances of one Redis: while it is away, and when its replica is the primary. */
async function pair() {
  const pages = [];
  const rows = [];
  const titles = { during: 'The primary of Redis was killed', after: 'Its replica is the primary' };
  try {
    for (let i = 0; i < 2; i += 1) {
      const context = await (await browser()).newContext({ viewport: PAIR, colorScheme: 'light', locale: 'en-GB', reducedMotion: 'reduce' });
      ends.unshift(() => context.close());
      pages.push(await context.newPage());
    }
    await failover(t, pages, async (state) => {
      const shots = [];
      for (const page of pages) {
        await page.mouse.move(0, 0);
        shots.push((await page.screenshot()).toString('base64'));
      }
      rows.push(`<h2>${titles[state]}</h2><p>Ada, on instance one</p><p>Grace, on instance two</p>${shots.map((shot) => `<img src="data:image/png;base64,${shot}">`).join('')}`);
    });
    const context = await (await browser()).newContext({ viewport: { width: 2 * PAIR.width + 60, height: PAIR.height } });
    ends.unshift(() => context.close());
    const sheet = await context.newPage();
    await sheet.setContent(`<style>
      body { margin: 0; padding: 20px; display: grid; grid-template-columns: 1fr 1fr; gap: 10px 20px; background: #e7e9ee; font: 19px system-ui, sans-serif; color: #222 }
      h2 { grid-column: 1 / 3; font-size: 25px; margin: 8px 0 0 }
      p { margin: 0; color: #444 }
      img { border-radius: 8px; box-shadow: 0 1px 6px #0004; width: ${PAIR.width}px }
    </style>${rows.join('')}`);
    await sheet.evaluate(() => Promise.all([...document.images].map((image) => image.decode())));
    await sheet.screenshot({ path: join(folder, 'failover.png'), fullPage: true });
  } finally {
    for (const end of ends.splice(0)) await end();
  }
}

await mkdir(folder, { recursive: true });
try {
  if (part !== 'states') await pair();
  if (part !== 'failover') {
    for (const size of Object.keys(SIZES)) for (const theme of ['light', 'dark']) await run(size, theme);
  }
} finally {
  await closeBrowser();
}
