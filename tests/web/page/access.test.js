import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { choose, closeBrowser, live, person, row, say, signIn } from './browser.js';
import { Gate } from '../real/gate.js';
import { Server, becomes, until } from '../real/server.js';

after(closeBrowser);

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds on the page as it stands, one line each. */
async function findings(page) {
  // The page's policy forbids what a test injects, so axe runs in a world of its own.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
  await session.send('Runtime.evaluate', { contextId: executionContextId, expression: axe });
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
    contextId: executionContextId, awaitPromise: true, returnByValue: true,
    expression: 'axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`))',
  });
  assert.equal(exceptionDetails, undefined);
  await session.detach();
  return result.value;
}

test('axe_finds_what_is_wrong', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.goto(server.url);
  await page.waitForSelector('#name');
  await page.evaluate(() => document.querySelector('label').remove());
  assert.match((await findings(page)).join(), /^label: /);
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe_finds_nothing_in_any_state_when_it_is_${colorScheme}`, async (t) => {
    const server = await Server.start(t);
    const gate = await Gate.open(t, server.port);
    const page = await person(t, { colorScheme, reducedMotion: 'reduce' });
    const check = async (state) => assert.deepEqual(await findings(page), [], state);
    await page.goto(gate.url);
    await page.waitForSelector('#name');
    await check('signed out');
    await signIn(page, gate.url, 'Ada');
    await check('an empty room');
    await say(page, 'hello `code` https://host.test/ 👍');
    await row(page, 'hello').waitFor();
    await say(page, 'שלום');
    await row(page, 'שלום').waitFor();
    await row(page, 'hello').hover();
    await page.getByRole('button', { name: 'React with 🎉' }).click();
    await page.locator('.reaction').waitFor();
    await row(page, 'hello').hover();
    await page.getByRole('button', { name: 'Reply' }).click();
    await check('a room with messages, actions, a reply in hand');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Menu' }).click();
    await check('the menu');
    await page.getByRole('button', { name: 'Keys and help' }).click();
    await check('the help sheet');
    await page.keyboard.press('Escape');
    await choose(page, 'Find a message…');
    await page.fill('#find', 'hello');
    await page.getByText('1 found.').waitFor();
    await check('a search');
    await page.keyboard.press('Escape');
    await say(page, 'refused\u0007');
    await page.locator('.stuck').waitFor();
    await check('a message that was refused');
    await page.getByRole('button', { name: 'Insert an emoji' }).click();
    await check('the emoji');
    await page.keyboard.press('Escape');
    await row(page, 'hello').hover();
    await page.getByRole('button', { name: 'Delete' }).click();
    await check('a question');
    await page.keyboard.press('Escape');
    gate.say({ type: 'degraded', on: true });
    await page.getByText('The server can’t store right now.').waitFor();
    await check('degraded');
    gate.mode = 'closed';
    gate.cut();
    await page.waitForSelector('.status[data-state="offline"]');
    await say(page, 'waiting');
    await page.locator('.pending', { hasText: 'waiting' }).waitFor();
    await check('offline, with something waiting');
    await page.setViewportSize({ width: 320, height: 640 });
    await check('narrow');
    await page.getByRole('button', { name: 'Rooms' }).click();
    await check('the rooms, narrow');
    await page.getByRole('button', { name: 'Rooms' }).click();
    await page.getByRole('button', { name: /here$/ }).click();
    await check('the people, narrow');
    await page.setViewportSize({ width: 1200, height: 760 });
    gate.mode = 'open';
    await page.goto(`${gate.url}?proof`);
    await live(page);
    await page.getByRole('button', { name: 'Verify chain' }).click();
    await page.getByText('all agree').waitFor();
    await check('the proof panel');
    await choose(page, 'Sign out…');
    await check('a question before signing out');
  });
}

test('everything_can_be_done_with_the_keyboard_alone', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.goto(server.url);
  await becomes(() => page.evaluate(() => document.activeElement.id), 'name');
  await page.keyboard.type('Ada');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('den');
  await page.keyboard.press('Enter');
  await live(page);
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  await row(page, 'typed').waitFor();
  await page.locator('#box').evaluate((box) => box.blur());
  await page.keyboard.press('Escape');
  await becomes(() => page.evaluate(() => document.activeElement.id), 'box');
  for (let i = 0; i < 6 && !await page.evaluate(() => document.activeElement.matches('.timeline')); i += 1) await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('ArrowUp');
  await becomes(() => page.evaluate(() => document.activeElement.dataset.offset), '1');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('.reaction', { hasText: '👍 1' }).waitFor();
  await page.keyboard.press('Shift+Tab');
  // As fast as keys come: the reaction that is picked is being stored while the next ones are pressed.
  for (let i = 0; i < 5; i += 1) {
    await page.evaluate(() => document.querySelector('[data-offset="1"]').focus());
    for (const key of ['+', ...Array(i + 2).fill('Tab'), 'Enter', 'e']) await page.keyboard.press(key);
    await page.keyboard.type(', edited');
    await page.keyboard.press('Enter');
    await row(page, `typed${', edited'.repeat(i + 1)}`).waitFor();
  }
  await page.locator('.reaction').nth(4).waitFor();
});

test('every_key_of_the_help_sheet_does_what_it_says', async (t) => {
  const server = await Server.start(t);
  const page = await person(t, { permissions: ['clipboard-read', 'clipboard-write'] });
  await signIn(page, server.url, 'Ada');
  for (const text of ['first', 'second']) await say(page, text);
  await row(page, 'second').waitFor();
  await becomes(() => page.locator('.pending, .marks').count(), 0);
  const focused = () => page.evaluate(() => document.activeElement.dataset.offset ?? document.activeElement.id);
  const toMessages = async () => {
    await page.locator('.timeline').focus();
    await page.keyboard.press('ArrowUp');
    await becomes(focused, '2');
  };
  await toMessages();
  await page.keyboard.press('ArrowUp');
  await becomes(focused, '1');
  await page.keyboard.press('ArrowDown');
  await becomes(focused, '2');
  await page.keyboard.press('r');
  await page.getByText('Replying to Ada').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('Replying to Ada').waitFor({ state: 'hidden' });
  await toMessages();
  await page.keyboard.press('c');
  await page.getByText('The link is copied.').waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /#room=den&at=2$/);
  await toMessages();
  await page.keyboard.press('+');
  await page.getByRole('dialog', { name: 'React with' }).waitFor();
  await page.keyboard.press('Escape');
  await becomes(focused, '2');
  await page.keyboard.press('Delete');
  await page.getByRole('dialog', { name: 'Delete this message?' }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByText('Message deleted').first().waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  await page.getByRole('dialog', { name: 'Find a message' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await becomes(focused, 'box');
  await page.getByRole('button', { name: 'Join another room' }).click();
  await page.fill('#line', 'attic');
  await page.keyboard.press('Enter');
  await becomes(() => page.locator('.bar h1').textContent(), 'attic');
  for (const [key, room] of [['Alt+ArrowUp', 'den'], ['Alt+ArrowDown', 'attic'], ['Alt+ArrowDown', 'den']]) {
    await page.keyboard.press(key);
    await becomes(() => page.locator('.bar h1').textContent(), room);
  }
});

test('nothing_is_wider_than_320_pixels', async (t) => {
  const server = await Server.start(t);
  const page = await person(t, { viewport: { width: 320, height: 600 }, hasTouch: true, isMobile: true });
  await signIn(page, server.url, 'A name that goes on for quite a while, as some do', 'A room with a name that is longer than the screen is wide');
  await page.fill('#box', `${'x'.repeat(300)} https://host.test/${'y'.repeat(200)}\n\`\`\`\n${'z'.repeat(200)}\n\`\`\``);
  await page.locator('.send').click();
  await page.locator('[data-offset="1"]').waitFor();
  await becomes(() => page.evaluate(() => [document.documentElement.scrollWidth, document.querySelector('.timeline').scrollWidth]), [320, 320]);
});

test('a_reader_hears_new_messages_and_no_history', async (t) => {
  const server = await Server.start(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(bo, server.url, 'Bo');
  await say(bo, 'before');
  await row(bo, 'before').waitFor();
  await signIn(ada, server.url, 'Ada');
  await row(ada, 'before').waitFor();
  await say(bo, 'news');
  await becomes(() => ada.locator('#announcer').textContent(), 'Bo: news');
  assert.equal(await ada.locator('[role=log]').getAttribute('aria-live'), 'off');
});
