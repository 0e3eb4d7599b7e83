import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { closeBrowser, live, person, row, say, signIn } from './browser.js';
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
    await page.locator('.pending').waitFor();
    await check('offline, with something waiting');
    await page.setViewportSize({ width: 320, height: 640 });
    await check('narrow');
  });
}

test('everything_can_be_done_with_the_keyboard_alone', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.goto(server.url);
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
