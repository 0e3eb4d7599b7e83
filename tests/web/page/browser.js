/**
 * Chromium for the page's tests: Debian's, headless, with no background traffic. Each person is a context of their
 * own, as in another browser.
 */

import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--js-flags=--expose-gc', '--enable-precise-memory-info'];

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** A host that is this machine, but not to a browser: what it serves over http is no secure context. */
export const PLAIN_HOST = 'plain.test';

let launched;
let cached;

/** One browser for all tests of a file. */
export function browser() {
  launched ??= chromium.launch({ executablePath: EXECUTABLE, args: [...ARGS, `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`] });
  return launched;
}

/** Another, with the back/forward cache that test drivers turn off. */
export function cachingBrowser() {
  cached ??= chromium.launch({ executablePath: EXECUTABLE, args: ARGS, ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  return cached;
}

export async function closeBrowser() {
  await (await launched)?.close();
  await (await cached)?.close();
}

/**
 * A person at a browser. Errors of the page and breaches of its policy fail the test when it ends.
 * @param {import('node:test').TestContext} t
 * @param {object} [options] of the context; `allow`: console errors that the test provokes; `within`: another browser
 */
export async function person(t, { allow = /WebSocket connection|Failed to load resource|net::ERR/, within = browser(), ...options } = {}) {
  const context = await (await within).newContext({ viewport: { width: 1200, height: 760 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => message.type() === 'error' && !allow.test(message.text()) && wrong.push(message.text()));
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.wrong = wrong;
  t.after(async () => {
    await context.close();
    if (wrong.length) throw new Error(`the page reported: ${wrong.join(' | ')}`);
  });
  return page;
}

/** Signs in and waits until the room is live. */
export async function signIn(page, url, name, room = 'den') {
  await page.goto(url);
  await page.fill('#name', name);
  await page.fill('#room', room);
  await page.click('button:has-text("Enter")');
  await live(page);
}

export const live = (page) => page.waitForSelector('.status[data-state="live"]', { state: 'attached' });

export async function say(page, text) {
  await page.fill('#box', text);
  await page.press('#box', 'Enter');
}

/** The row of a message that is in the room. */
export const row = (page, text) => page.locator('.message[data-offset]', { hasText: text });

export const texts = (page) => page.locator('.message[data-offset] .text').allTextContents();

/** Makes the page believe that it is hidden, or seen again. */
export const seem = (page, state) => page.evaluate((value) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => value === 'hidden' });
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => value });
  document.dispatchEvent(new Event('visibilitychange'));
}, state);

/** Chooses something from the menu. */
export async function choose(page, item) {
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('button', { name: item }).click();
}

/** Answers the question before a sign-out, and waits until it is done: whoever navigates sooner stays signed in. */
export async function confirmSignOut(page) {
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click();
  await page.waitForSelector('#name');
}

/** Until everything that was written here is stored, and the page knows: what it doesn't know yet it sends again. */
export const allSent = (page) => page.locator('.pending, .marks').first().waitFor({ state: 'detached' });

/** Until the newest message is in view. Before that a scroll upwards may be undone. */
export const atEnd = (page) => page.waitForFunction(() => {
  const box = document.querySelector('.timeline');
  return box && box.scrollHeight - box.scrollTop - box.clientHeight < 2;
});

/** A figure of the proof panel. */
export const figure = (page, name) => page.locator(`.proof dl div:has(dt:text-is("${name}")) dd`).textContent();
