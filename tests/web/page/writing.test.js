/** What people write, read and look for. */

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import { atEnd, choose, closeBrowser, confirmSignOut, live, person, row, say, signIn, texts } from './browser.js';
import { FAST, robot } from './robot.js';
import { Gate } from '../real/gate.js';
import { Server, TEST_KEY, becomes, until } from '../real/server.js';

after(closeBrowser);

/** A key answers for so long, less a minute: a second in which a retry goes out by itself. */
const SHORT_WINDOW = { CONFAB__LIMITS__KEY_WINDOW_MS: '61000' };

test('a_message_has_as_many_lines_as_were_typed_or_pasted', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await page.keyboard.type('one');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.insertText('two\nthree');
  const height = () => page.locator('#box').evaluate((box) => box.clientHeight);
  const tall = await height();
  await page.keyboard.press('Enter');
  await becomes(() => texts(page), ['one\ntwo\nthree']);
  await until('the box is small again', async () => await height() < tall);
});

test('marks_become_what_they_mean_and_nothing_else', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await say(page, '**strong** *soft* ~~gone~~ `code` 2*3*4 <b>not</b>');
  await row(page, 'strong').waitFor();
  const shown = await page.locator('.message[data-offset] .text').evaluate((text) => [...text.children].map(({ localName, textContent }) => `${localName} ${textContent}`));
  assert.deepEqual(shown, ['strong strong', 'em soft', 's gone', 'code code']);
  await becomes(() => texts(page), ['strong soft gone code 2*3*4 <b>not</b>']);
  await becomes(() => page.locator('.room .last').textContent(), 'Ada: strong soft gone code 2*3*4 <b>not</b>');
});

test('what_the_server_refuses_says_why_and_can_be_tried_again_or_taken_back', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await say(page, 'ring the bell\u0007');
  await page.locator('.stuck', { hasText: 'This text can’t be sent' }).waitFor();
  await say(page, 'goes out past it');
  await row(page, 'goes out past it').waitFor();
  const key = await page.locator('.stuck').getAttribute('data-key');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator(`.stuck:not([data-key="${key}"])`, { hasText: 'This text can’t be sent' }).waitFor();
  await page.getByRole('button', { name: 'Take back' }).click();
  await becomes(() => page.inputValue('#box'), 'ring the bell\u0007');
  await becomes(() => page.locator('.pending').count(), 0);
});

test('after_the_key_window_a_message_that_the_room_lacks_waits_for_its_author', async (t) => {
  const server = await Server.start(t, SHORT_WINDOW);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, `${gate.url}?proof`, 'Ada');
  await page.getByRole('button', { name: 'Go half-open' }).click();
  await say(page, 'lost on the way');
  await page.locator('.pending', { hasText: 'lost on the way' }).waitFor();
  gate.mode = 'closed';
  gate.cut();
  await page.waitForTimeout(1200); // the window is an age, so it can only pass
  gate.mode = 'open';
  await page.locator('.stuck', { hasText: 'Not sent: the room doesn’t have it.' }).waitFor();
  await becomes(() => texts(page), []);
  await page.getByRole('button', { name: 'Send again' }).click();
  await becomes(() => texts(page), ['lost on the way']);
});

test('after_the_key_window_a_message_that_the_room_has_is_found_and_not_sent_again', async (t) => {
  const server = await Server.start(t, SHORT_WINDOW);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  const { room } = await robot(t, server.ws);
  gate.swallowAnswers = true;
  await say(page, 'arrived unheard');
  await until('it is stored', () => room.log.position.offset === 1);
  gate.mode = 'closed';
  gate.cut();
  gate.swallowAnswers = false;
  await page.waitForTimeout(1200); // as above
  gate.mode = 'open';
  await row(page, 'arrived unheard').waitFor();
  await becomes(() => page.locator('.pending, .marks').count(), 0);
  await say(page, 'and on');
  await becomes(() => texts(page), ['arrived unheard', 'and on']);
});

test('an_edit_goes_on_from_one_that_is_still_on_its_way', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  await say(page, 'one');
  await row(page, 'one').waitFor();
  await becomes(() => page.locator('.pending, .marks').count(), 0);
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await page.press('#box', 'ArrowUp');
  await say(page, 'two');
  await row(page, 'two').locator('.marks', { hasText: 'saving…' }).waitFor();
  await page.press('#box', 'ArrowUp');
  await becomes(() => page.inputValue('#box'), 'two');
  await page.press('#box', 'Escape');
  gate.mode = 'open';
  await page.locator('.marks', { hasText: 'edited' }).waitFor();
  await becomes(() => texts(page), ['two']);
});

test('an_edit_or_a_reply_in_hand_is_kept_with_the_draft_under_it', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada', 'attic');
  await say(page, 'one');
  await row(page, 'one').waitFor();
  await page.fill('#box', '');
  await page.press('#box', 'ArrowUp');
  await page.fill('#box', 'one, better');
  await page.getByRole('button', { name: 'Join another room' }).click();
  await page.fill('#line', 'den');
  await page.press('#line', 'Enter');
  await becomes(() => page.locator('.bar h1').textContent(), 'den');
  await becomes(() => page.inputValue('#box'), '');
  await page.locator('.room', { hasText: 'attic' }).click();
  await page.getByText('Editing your message').waitFor();
  await becomes(() => page.inputValue('#box'), 'one, better');
  await page.press('#box', 'Enter');
  await row(page, 'one, better').waitFor();
  await page.fill('#box', 'half a thought');
  await row(page, 'one, better').hover();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByText('Editing your message').waitFor();
  await page.fill('#box', 'one, best');
  await page.reload();
  await page.getByText('Editing your message').waitFor();
  await becomes(() => page.inputValue('#box'), 'one, best');
  await page.press('#box', 'Escape');
  await becomes(() => page.inputValue('#box'), 'half a thought');
  await live(page);
  await row(page, 'one, better').hover();
  await page.getByRole('button', { name: 'Reply' }).click();
  await page.getByText('Replying to Ada').waitFor();
  await page.reload();
  await page.getByText('Replying to Ada').waitFor();
  await becomes(() => page.inputValue('#box'), 'half a thought');
  await page.press('#box', 'Enter');
  await row(page, 'half a thought').locator('.quote', { hasText: 'one, better' }).waitFor();
  await becomes(() => page.inputValue('#box'), '');
});

test('what_waits_survives_a_closed_page_and_goes_out_from_the_next_one', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  const { room } = await robot(t, server.ws);
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await say(page, 'written before the end');
  await page.locator('.pending').waitFor();
  await page.close();
  gate.mode = 'open';
  const next = await page.context().newPage();
  await next.goto(gate.url);
  await row(next, 'written before the end').waitFor();
  await becomes(() => room.log.messages().map(({ text }) => text), ['written before the end']);
});

test('messages_are_grouped_by_author_under_lines_for_the_days', async (t) => {
  const server = await Server.start(t, FAST);
  await (await robot(t, server.ws, 'Bo')).fill(2);
  await (await robot(t, server.ws, 'Cy')).fill(1);
  const page = await person(t);
  await page.clock.install({ time: Date.now() + 24 * 3_600_000 });
  await signIn(page, server.url, 'Ada');
  const heads = () => page.locator('.message[data-offset]').evaluateAll((rows) => rows.map((one) => [one.classList.contains('grouped'), one.querySelector('.name').textContent]));
  await becomes(heads, [[false, 'Bo'], [true, 'Bo'], [false, 'Cy']]);
  await becomes(() => page.locator('.day').allTextContents(), ['Yesterday']);
});

test('a_line_marks_what_is_new_and_reading_it_counts_on_every_device', async (t) => {
  const server = await Server.start(t, FAST);
  const desk = await person(t);
  await signIn(desk, server.url, 'Ada', 'den');
  await desk.getByRole('button', { name: 'Join another room' }).click();
  await desk.fill('#line', 'attic');
  await desk.press('#line', 'Enter');
  const { fill, room } = await robot(t, server.ws, 'Bo', 'attic');
  await fill(1, () => 'old');
  await row(desk, 'old').waitFor();
  await desk.locator('.room', { hasText: 'den' }).click();
  const phone = await desk.context().newPage();
  await phone.goto(`${server.url}#room=den`);
  await live(phone);
  await until('two devices are one person', () => room.memberCount === 2);
  await fill(2, (i) => `news ${i}`);
  for (const page of [desk, phone]) await page.locator('.room', { hasText: 'attic' }).locator('.badge', { hasText: '2' }).waitFor();
  await desk.locator('.room', { hasText: 'attic' }).click();
  await row(desk, 'news 2').waitFor();
  await becomes(() => desk.locator('.message:has(.new) .text').allTextContents(), ['news 1']);
  await phone.locator('.badge').waitFor({ state: 'detached' });
});

test('messages_that_are_no_longer_kept_are_spoken_of', async (t) => {
  const server = await Server.start(t, { ...FAST, CONFAB__LIMITS__HISTORY_ENTRIES: '100' });
  await (await robot(t, server.ws)).fill(400);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await row(page, 'message 400').waitFor();
  await atEnd(page);
  await page.locator('.timeline').evaluate((box) => { box.scrollTop = 0; });
  await page.getByText(/^Messages before \d\d:\d\d are no longer kept\.$/).waitFor();
});

test('a_long_absence_is_caught_up_with_in_order', async (t) => {
  const server = await Server.start(t, FAST);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  const { fill } = await robot(t, server.ws);
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await fill(1500);
  await page.evaluate(() => {
    globalThis.said = new Set();
    const status = document.querySelector('.status');
    new MutationObserver(() => globalThis.said.add(status.textContent)).observe(status, { subtree: true, childList: true, characterData: true });
  });
  gate.mode = 'open';
  await row(page, 'message 1500').waitFor();
  await live(page);
  assert.ok((await page.evaluate(() => [...globalThis.said])).some((text) => text.startsWith('The room is catching up')));
  const numbers = (await texts(page)).map((text) => Number(text.split(' ')[1]));
  assert.deepEqual(numbers, Array.from(numbers, (_, i) => 1500 - numbers.length + 1 + i));
});

test('a_message_is_found_among_those_loaded_and_shown', async (t) => {
  const server = await Server.start(t, FAST);
  await (await robot(t, server.ws)).fill(150, (i) => (i === 30 ? 'the Crème brûlée' : `message ${i}`));
  const page = await person(t);
  await signIn(page, `${server.url}#room=den&at=10`, 'Ada');
  await page.locator('[data-offset="10"]').waitFor();
  await page.locator('[data-offset="10"]').focus();
  await page.keyboard.press('/');
  await page.keyboard.type('creme bru');
  await page.getByText('1 found.').waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await becomes(() => page.evaluate(() => document.activeElement.dataset.offset), '30');
  await choose(page, 'Find a message…');
  await page.fill('#find', 'nothing like it');
  await page.getByText(/^None found\. Looks at the \d+ messages/).waitFor();
});

test('a_copied_link_leads_to_its_message_and_one_to_the_room_into_it', async (t) => {
  const server = await Server.start(t);
  const page = await person(t, { permissions: ['clipboard-read', 'clipboard-write'] });
  await signIn(page, server.url, 'Ada', 'a room & more');
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  await page.getByRole('button', { name: 'Copy the link to this room' }).click();
  await page.getByText('The link is copied.').waitFor();
  const room = await copied();
  await say(page, 'here');
  await row(page, 'here').hover();
  await page.getByRole('button', { name: 'Copy link', exact: true }).click();
  await until('another link is copied', async () => await copied() !== room);
  const other = await person(t);
  await other.goto(await copied());
  await other.fill('#name', 'Bo');
  await other.click('button:has-text("Enter")');
  await becomes(() => other.locator('.bar h1').textContent(), 'a room & more');
  await becomes(() => other.evaluate(() => document.activeElement.dataset.offset), '1');
  assert.equal(new URLSearchParams(new URL(room).hash.slice(1)).get('room'), 'a room & more');
});

test('signing_out_forgets_the_token_and_nothing_was_ever_a_cookie', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  const kept = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.match(await kept(), /token/);
  await choose(page, 'Sign out…');
  await confirmSignOut(page);
  assert.doesNotMatch(await kept(), /token/);
  assert.deepEqual(await page.context().cookies(), []);
});

test('a_token_of_thirty_days_ago_leads_to_the_first_screen', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  const identity = JSON.parse(await page.evaluate(() => localStorage.getItem('confab.identity')));
  const [head, body] = identity.token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  claims.exp -= 30 * 24 * 3600 + 120;
  const signed = `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  identity.token = `${signed}.${createHmac('sha256', TEST_KEY).update(signed).digest('base64url')}`;
  await page.evaluate((text) => {
    localStorage.setItem('confab.identity', text);
    sessionStorage.clear();
  }, JSON.stringify(identity));
  await page.reload();
  await page.getByText('You were signed out: this sign-in is too old').waitFor();
  await becomes(() => page.inputValue('#name'), 'Ada');
});

test('the_appearance_is_what_was_chosen_and_stays_so', async (t) => {
  const server = await Server.start(t);
  const page = await person(t, { colorScheme: 'light' });
  await signIn(page, server.url, 'Ada');
  const paper = () => page.evaluate(() => getComputedStyle(document.querySelector('.middle')).backgroundColor);
  const light = await paper();
  for (let i = 0; i < 3 && await paper() === light; i += 1) await choose(page, /^Appearance/);
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.reload();
  await live(page);
  await becomes(paper, dark);
});

test('nothing_moves_for_those_who_asked_for_that', async (t) => {
  const server = await Server.start(t);
  for (const [reducedMotion, moves] of [['no-preference', 'flash'], ['reduce', 'none']]) {
    const page = await person(t, { reducedMotion });
    await signIn(page, server.url, 'Ada');
    await say(page, 'look');
    await row(page, 'look').first().waitFor();
    const name = await page.locator('.message').first().evaluate((element) => {
      element.classList.add('flash');
      return getComputedStyle(element.querySelector('.bubble')).animationName;
    });
    assert.equal(name, moves);
  }
});

test('the_manifest_names_what_is_there', async (t) => {
  const server = await Server.start(t);
  const response = await fetch(`${server.url}assets/manifest.webmanifest`);
  assert.equal(response.headers.get('content-type'), 'application/manifest+json');
  const { name, start_url: start, display, icons } = await response.json();
  assert.deepEqual([name, new URL(start, response.url).pathname, display], ['confab', '/', 'standalone']);
  for (const { src, type } of icons) {
    const icon = await fetch(new URL(src, response.url));
    assert.deepEqual([icon.status, icon.headers.get('content-type')], [200, type], src);
  }
  assert.ok(icons.some(({ purpose }) => purpose === 'maskable'));
});
