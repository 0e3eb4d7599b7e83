import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { allSent, atEnd, choose, closeBrowser, confirmSignOut, figure, live, person, row, say, seem, signIn, texts } from './browser.js';
import { PAYLOADS, REFUSED } from './payloads.js';
import { FAST, robot } from './robot.js';
import { Gate } from '../real/gate.js';
import { Server, becomes, until } from '../real/server.js';

after(closeBrowser);

test('two_browsers_chat', async (t) => {
  const server = await Server.start(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, server.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  await ada.getByRole('button', { name: '2 here' }).waitFor();
  await say(ada, 'hello from Ada');
  await row(bo, 'hello from Ada').waitFor();
  await say(bo, 'hello from Bo');
  await row(ada, 'hello from Bo').waitFor();
  await row(bo, 'hello from Bo').waitFor();
  await becomes(() => texts(ada), ['hello from Ada', 'hello from Bo']);
  await becomes(() => texts(bo), ['hello from Ada', 'hello from Bo']);
  // It is shown for some seconds only.
  await Promise.all([ada.getByText('Bo is typing…').waitFor(), bo.locator('#box').pressSequentially('typing along', { delay: 400 })]);
  await becomes(() => ada.locator('.people-panel bdi').allTextContents(), ['Ada', 'Bo']);
});

test('the_page_asks_no_other_host_and_the_policy_is_strict', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  const hosts = new Set();
  page.on('request', (request) => hosts.add(new URL(request.url()).host));
  const response = await page.goto(server.url);
  assert.match(response.headers()['content-security-policy'], /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/);
  await signIn(page, server.url, 'Ada');
  assert.deepEqual([...hosts], [new URL(server.url).host]);
  // Where the browser knows Trusted Types, not even the page's own code could make markup from text.
  assert.match(await page.evaluate(() => {
    try {
      document.body.innerHTML = '<b>x</b>';
      return 'was parsed';
    } catch (error) {
      return error.message;
    }
  }), /TrustedHTML/);
  page.wrong.splice(0);
});

test('the_first_paint_waits_for_two_requests_in_a_row_and_no_more', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  const asked = [];
  session.on('Network.requestWillBeSent', ({ request, initiator, type }) => asked.push([type, request.url, initiator.url ?? initiator.stack?.callFrames[0]?.url ?? '']));
  await page.goto(server.url);
  await page.waitForSelector('#name');
  const behind = asked.filter(([type]) => ['Script', 'Stylesheet'].includes(type));
  assert.ok(behind.length > 30, 'the requests were seen');
  assert.deepEqual(behind.filter(([, , by]) => by !== server.url), [], 'each is asked for by the document itself');
  assert.deepEqual(asked.filter(([type]) => type === 'Document').map(([, url]) => url), [server.url]);
});

/** From here on the page counts what its policy stops. */
const watchBreaches = (page) => page.evaluate(() => {
  globalThis.breaches = [];
  document.addEventListener('securitypolicyviolation', (event) => globalThis.breaches.push(event.violatedDirective));
});

/** No element, no handler and no attempt that isn't the page's own; dialogs fail the test by themselves. */
async function findNothingForeign(page) {
  const found = await page.evaluate(() => ({
    elements: [...document.querySelectorAll('#app :is(script, img, svg:not(.icon), iframe, object, embed, style, link, meta, video, audio, base, math, details, marquee, template, noscript)')].map(({ outerHTML }) => outerHTML),
    forms: document.querySelectorAll('.rows :is(form, input)').length,
    handlers: [...document.querySelectorAll('#app *, dialog *')].filter((element) => [...element.attributes].some(({ name }) => name.startsWith('on'))).length,
    breaches: globalThis.breaches,
  }));
  assert.deepEqual(found, { elements: [], forms: 0, handlers: 0, breaches: [] });
  assert.deepEqual(page.wrong, []);
}

test('no_payload_in_a_text_is_run_and_each_is_shown_as_it_is', async (t) => {
  const server = await Server.start(t, FAST);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await watchBreaches(page);
  const { room, client, fill } = await robot(t, server.ws);
  await fill(PAYLOADS.length, (i) => PAYLOADS[i - 1]);
  await row(page, PAYLOADS.at(-1)).waitFor();
  for (const text of REFUSED) room.send(text);
  await until('they are refused', () => client.outbox.length === REFUSED.length && client.outbox.every(({ why }) => why === 'bad_text'));
  const shown = await page.evaluate(() => ({
    texts: [...document.querySelectorAll('.message[data-offset] .text')].map((text) => text.textContent),
    links: [...document.querySelectorAll('.rows a')].map(({ protocol, rel, target }) => [protocol, rel, target].join(' ')),
    wide: document.documentElement.scrollWidth > innerWidth || document.querySelector('.timeline').scrollWidth > document.querySelector('.timeline').clientWidth,
  }));
  // Signs that mark code are drawn as code.
  const plain = (text) => text.replace(/```\n?([^]+?)\n?```|`([^`\n]+)`/gu, '$1$2');
  assert.deepEqual(shown.texts, PAYLOADS.map(plain));
  assert.equal(shown.wide, false);
  await findNothingForeign(page);
  assert.deepEqual([...new Set(shown.links)].sort(), ['http: noopener noreferrer _blank', 'https: noopener noreferrer _blank']);
});

test('no_payload_in_a_name_a_room_a_reply_or_a_reaction_is_run', async (t) => {
  const server = await Server.start(t, { ...FAST, CONFAB__LIMITS__NEW_ROOMS_PER_MINUTE: '1000000' });
  const page = await person(t);
  await signIn(page, server.url, 'Ada', 'den');
  await watchBreaches(page);
  // What a name may be: the rest of them is refused, as what it is.
  const names = PAYLOADS.filter((text) => [...text].length <= 64 && !/[\n\t\u2066-\u2069\u200b\ufeff]/.test(text));
  assert.ok(names.length >= 60, `${names.length} payloads`);
  const canonical = names.map((name) => name.normalize('NFC').trim());
  const stored = (client) => until('it is stored or refused', () => client.outbox.every(({ state }) => state !== 'waiting'));
  let reactions = 0;
  for (const name of names) {
    const { client, room } = await robot(t, server.ws, name);
    room.send(name);
    await stored(client);
    const offset = await until('it is in the log', () => room.log.messages().findLast(({ user }) => user.id === client.user.id)?.offset);
    room.send(`to ${names.indexOf(name)}`, { replyTo: offset });
    if (room.react(offset, [...name].slice(0, 16).join(''), true)) await stored(client);
    reactions += client.outbox.length ? 0 : 1;
    client.close();
  }
  assert.ok(reactions >= 30, `${reactions} reactions`);
  await row(page, `to ${names.length - 1}`).waitFor();
  await becomes(async () => [...new Set(await page.locator('.message .head .name').allTextContents())].sort(), [...new Set(canonical)].sort());
  await becomes(() => page.locator('.quote .name').allTextContents(), canonical);
  await until('the reactions are shown', async () => await page.locator('.reaction').count() >= reactions);
  await findNothingForeign(page);
  // A connection takes fifty rooms.
  for (let from = 0; from < canonical.length; from += 40) {
    const other = await person(t);
    await signIn(other, server.url, `Bo ${from}`, 'den');
    await watchBreaches(other);
    for (const room of canonical.slice(from, from + 40)) {
      await other.evaluate((name) => { location.hash = new URLSearchParams({ room: name }).toString(); }, room);
      await becomes(() => other.locator('.bar h1').textContent(), room);
    }
    await findNothingForeign(other);
    const listed = await other.locator('.room .title bdi').allTextContents();
    assert.deepEqual(listed.slice(1), canonical.slice(from, from + 40));
  }
});

test('what_was_written_survives_a_reload_and_is_sent_once_with_its_key', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, gate.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  gate.mode = 'closed';
  gate.cut();
  await ada.waitForSelector('.status[data-state="offline"]');
  await say(ada, 'written in a tunnel');
  await ada.getByText('1 message waits here').waitFor();
  const key = await ada.locator('.pending').getAttribute('data-key');
  await ada.reload();
  await ada.locator('.pending', { hasText: 'written in a tunnel' }).waitFor();
  await becomes(() => ada.locator('.pending').getAttribute('data-key'), key);
  gate.mode = 'open';
  await row(bo, 'written in a tunnel').waitFor();
  await live(ada);
  await becomes(() => ada.locator('.pending').count(), 0);
  await becomes(() => texts(bo), ['written in a tunnel']);
});

test('a_send_whose_answer_was_lost_is_shown_and_stored_once', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, gate.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  gate.swallowAnswers = true;
  await say(ada, 'only once');
  await row(bo, 'only once').waitFor();
  await ada.locator('.pending', { hasText: 'only once' }).waitFor();
  gate.cut();
  gate.swallowAnswers = false;
  await row(ada, 'only once').waitFor();
  await becomes(() => ada.locator('.marks').count(), 0);
  await becomes(async () => [await texts(ada), await texts(bo), await ada.locator('.pending').count()], [['only once'], ['only once'], 0]);
});

test('a_restarted_server_is_found_again_and_a_lost_log_is_told', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await say(page, 'before the fall');
  await row(page, 'before the fall').waitFor();
  await allSent(page);
  await server.kill();
  await page.locator('.status', { hasText: /No connection\. Reconnecting/ }).waitFor();
  await server.start();
  await live(page);
  await page.getByText('The server lost this room’s messages').waitFor();
  await say(page, 'after it');
  await row(page, 'after it').waitFor();
  await becomes(() => texts(page), ['after it']);
});

test('a_server_that_forgot_its_guests_says_so_and_keeps_the_name', async (t) => {
  const server = await Server.start(t, { CONFAB__AUTH__KEYS: '' });
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await server.kill();
  await server.start();
  await page.getByText('You were signed out').waitFor();
  await becomes(() => page.inputValue('#name'), 'Ada');
  await page.click('button:has-text("Enter")');
  await live(page);
});

test('what_somebody_else_wrote_here_is_never_sent_as_who_is_here_now', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await say(page, 'by Ada');
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('button', { name: 'Sign out…' }).click();
  await page.getByText('One of your messages is not sent yet').waitFor();
  await confirmSignOut(page);
  gate.mode = 'open';
  await signIn(page, gate.url, 'Bo');
  await page.getByText('under another sign-in').waitFor();
  assert.deepEqual(await texts(page), []);
  await page.getByRole('button', { name: 'Take the texts over' }).click();
  await becomes(() => page.inputValue('#box'), 'by Ada');
  await page.press('#box', 'Enter');
  await row(page, 'by Ada').locator('.name', { hasText: 'Bo' }).waitFor();
});

test('a_server_that_cannot_store_is_told_and_what_is_written_waits', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada');
  gate.say({ type: 'degraded', on: true });
  await page.getByText('What you write will wait here.').waitFor();
  gate.say({ type: 'degraded', on: false });
  await live(page);
});

test('a_token_that_the_server_does_not_take_leads_to_the_first_screen_and_is_forgotten', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.goto(server.url);
  await page.evaluate(() => localStorage.setItem('confab.identity', JSON.stringify({ user: { id: 'u1', name: 'Ada' }, token: 'of another deployment' })));
  await page.reload();
  await page.getByText('You were signed out').waitFor();
  await page.reload();
  await page.waitForSelector('#name');
  assert.equal(await page.getByText('You were signed out').count(), 0, 'the notice is drawn with the form, or not at all');
});

test('a_clock_that_is_a_day_ahead_or_behind_holds_nothing_up', async (t) => {
  const server = await Server.start(t);
  for (const days of [-1, 1]) {
    const page = await person(t);
    await page.addInitScript((off) => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + off;
    }, days * 86_400_000);
    await signIn(page, server.url, `Ada ${days}`);
    await say(page, `off by ${days}`);
    await row(page, `off by ${days}`).waitFor();
    await becomes(() => page.locator('.marks, .pending').count(), 0);
  }
});

test('older_messages_come_on_scroll_and_the_place_is_kept', async (t) => {
  const server = await Server.start(t, FAST);
  await (await robot(t, server.ws)).fill(600);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await row(page, /^.*message 600$/).waitFor();
  await atEnd(page);
  for (let i = 0; i < 400; i += 1) {
    const moved = await page.evaluate(async () => {
      const box = document.querySelector('.timeline');
      const line = box.getBoundingClientRect().top + 100;
      const seen = [...box.querySelectorAll('[data-offset]')].find((one) => one.getBoundingClientRect().bottom > line);
      const { offset } = seen.dataset;
      const before = seen.getBoundingClientRect().top;
      const top = box.scrollTop;
      const step = Math.min(250, top);
      box.scrollTop = top - step;
      await new Promise((resolve) => { setTimeout(resolve, 30); });
      const again = box.querySelector(`[data-offset="${offset}"]`);
      return again ? Math.abs(again.getBoundingClientRect().top - before - step) : 0;
    });
    assert.ok(moved <= 2, `a row moved by ${moved} px while older ones came`);
    if (await page.getByText('This is where the room begins.').count()) break;
  }
  await row(page, /message 1$/).first().waitFor();
  assert.ok(await page.locator('[data-offset]').count() <= 240, 'rows stay bounded');
  await page.getByRole('button', { name: '↓ Latest' }).click();
  await row(page, 'message 600').waitFor();
});

test('who_reads_above_is_not_moved_and_is_told_what_is_new', async (t) => {
  const server = await Server.start(t, FAST);
  const { fill } = await robot(t, server.ws);
  await fill(100);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await row(page, 'message 100').waitFor();
  await atEnd(page);
  await page.evaluate(() => { document.querySelector('.timeline').scrollTop -= 500; });
  await page.getByRole('button', { name: '↓ Latest' }).waitFor();
  // Older messages may be coming above: what counts is where the row is that is being read.
  const place = () => row(page, 'message 80').evaluate((element) => Math.round(element.getBoundingClientRect().top));
  const before = await place();
  await fill(3, (i) => `news ${i}`);
  await page.getByRole('button', { name: '↓ 3 new' }).waitFor();
  await becomes(place, before);
  await page.getByRole('button', { name: '↓ 3 new' }).click();
  await row(page, 'news 3').waitFor();
  await page.locator('.latest').waitFor({ state: 'hidden' });
});

test('a_message_is_edited_answered_reacted_to_and_deleted', async (t) => {
  const server = await Server.start(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, server.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  await say(ada, 'frist');
  await row(ada, 'frist').waitFor();
  await ada.press('#box', 'ArrowUp');
  await becomes(() => ada.inputValue('#box'), 'frist');
  await say(ada, 'first');
  await row(bo, 'first').waitFor();
  await bo.locator('.marks', { hasText: 'edited' }).waitFor();
  await row(bo, 'first').hover();
  await bo.getByRole('button', { name: 'React with 👍' }).click();
  await ada.locator('.reaction', { hasText: '👍 1' }).click();
  await bo.locator('.reaction', { hasText: '👍 2' }).waitFor();
  await row(bo, 'first').hover();
  await bo.getByRole('button', { name: 'Reply' }).click();
  await say(bo, 'answer');
  await row(ada, 'answer').locator('.quote', { hasText: 'first' }).waitFor();
  await row(ada, 'first').first().hover();
  await ada.getByRole('button', { name: 'Delete' }).click();
  await ada.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await bo.getByText('Message deleted').waitFor();
  await row(bo, 'answer').locator('.quote', { hasText: 'a deleted message' }).waitFor();
});

test('several_rooms_have_unread_counts_and_their_own_drafts', async (t) => {
  const server = await Server.start(t, FAST);
  const page = await person(t);
  await signIn(page, server.url, 'Ada', 'den');
  await page.getByRole('button', { name: 'Join another room' }).click();
  await page.fill('#line', 'attic');
  await page.press('#line', 'Enter');
  await becomes(() => page.locator('.bar h1').textContent(), 'attic');
  await page.fill('#box', 'a thought');
  await page.locator('.room', { hasText: 'den' }).click();
  await becomes(() => page.inputValue('#box'), '');
  await (await robot(t, server.ws, 'Bo', 'attic')).fill(3);
  await page.locator('.room', { hasText: 'attic' }).locator('.badge', { hasText: '3' }).waitFor();
  await until('the title tells it', async () => /^\(3\) den/.test(await page.title()));
  await page.reload();
  await page.locator('.room', { hasText: 'attic' }).click();
  await becomes(() => page.inputValue('#box'), 'a thought');
  await until('it is read', async () => /^attic/.test(await page.title()));
});

test('a_link_opens_a_room_at_a_message_that_is_not_loaded', async (t) => {
  const server = await Server.start(t, FAST);
  await (await robot(t, server.ws)).fill(400);
  const page = await person(t);
  await signIn(page, server.url, 'Ada', 'other');
  await page.goto(`${server.url}#room=den&at=20`);
  await page.reload();
  await live(page);
  const target = page.locator('[data-offset="20"]');
  await target.waitFor();
  await until('it is in view', () => target.evaluate((element) => {
    const { top } = element.getBoundingClientRect();
    return top > 0 && top < innerHeight;
  }));
});

test('two_tabs_can_be_two_people', async (t) => {
  const server = await Server.start(t);
  const first = await person(t);
  await signIn(first, server.url, 'Ada');
  const second = await first.context().newPage();
  await second.goto(server.url);
  await live(second);
  await second.getByRole('button', { name: 'Menu' }).click();
  await second.getByRole('button', { name: 'Sign out…' }).click();
  await confirmSignOut(second);
  await signIn(second, server.url, 'Bo');
  await say(second, 'I am Bo');
  await row(first, 'I am Bo').waitFor();
  await first.reload();
  await live(first);
  await say(first, 'I am Ada');
  await row(second, 'I am Ada').waitFor();
  await becomes(() => second.locator('.people-panel bdi').allTextContents(), ['Bo', 'Ada']);
});

test('without_storage_the_page_works_and_says_what_it_cannot_do', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.addInitScript(() => {
    const blocked = { get() { throw new DOMException('blocked', 'SecurityError'); } };
    Object.defineProperty(globalThis, 'localStorage', blocked);
    Object.defineProperty(globalThis, 'sessionStorage', blocked);
  });
  await signIn(page, server.url, 'Ada');
  await page.getByText('This browser keeps nothing').waitFor();
  await say(page, 'still works');
  await row(page, 'still works').waitFor();
});

test('a_full_storage_loses_no_message_while_the_page_is_open', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await page.evaluate(() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; });
  await say(page, 'no room to keep this');
  await row(page, 'no room to keep this').waitFor();
  await page.getByText('This browser keeps nothing').waitFor();
});

test('notifications_come_only_when_asked_for_and_only_while_nobody_looks', async (t) => {
  const server = await Server.start(t, FAST);
  const { fill } = await robot(t, server.ws);
  const page = await person(t);
  await page.addInitScript(() => {
    globalThis.notes = [];
    globalThis.asked = 0;
    globalThis.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function count(...args) {
      globalThis.tones += 1;
      start.apply(this, args);
    };
    globalThis.Notification = class {
      static permission = 'default';

      static async requestPermission() {
        globalThis.asked += 1;
        return this.permission = 'granted';
      }

      constructor(title, { body }) { globalThis.notes.push(`${title}: ${body}`); }
    };
  });
  await signIn(page, server.url, 'Ada');
  await seem(page, 'hidden');
  await fill(1, () => 'unasked');
  await row(page, 'unasked').waitFor({ state: 'attached' });
  await seem(page, 'visible');
  assert.deepEqual(await page.evaluate(() => [globalThis.asked, globalThis.tones]), [0, 0]);
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('button', { name: 'Notify me of new messages' }).click();
  await fill(1, () => 'seen anyway');
  await row(page, 'seen anyway').waitFor();
  await seem(page, 'hidden');
  await fill(1, () => 'while away');
  await becomes(() => page.evaluate(() => [globalThis.notes, globalThis.tones]), [['Robot in den: while away'], 2]);
});

test('a_browser_that_allows_no_notifications_is_spoken_of', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.addInitScript(() => {
    globalThis.Notification = class { static permission = 'denied'; static requestPermission = async () => 'denied'; };
  });
  await signIn(page, server.url, 'Ada');
  await choose(page, 'Notify me of new messages');
  await page.getByText('This browser doesn’t allow notifications here.').waitFor();
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('button', { name: 'Notify me of new messages' }).waitFor();
});

test('a_room_that_cannot_be_one_says_why_and_takes_no_message', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await page.evaluate(() => { location.hash = new URLSearchParams({ room: 'a\u202eb' }).toString(); });
  await page.getByText('This can’t be the name of a room.').waitFor();
  await say(page, 'into nowhere');
  await page.locator('.composer .error', { hasText: 'This can’t be the name of a room.' }).waitFor();
  await becomes(() => page.inputValue('#box'), 'into nowhere');
  await becomes(() => page.locator('.pending').count(), 0);
  await page.locator('.room', { hasText: 'den' }).click();
  await becomes(() => page.locator('.bar h1').textContent(), 'den');
  await say(page, 'back home');
  await row(page, 'back home').waitFor();
});

test('leaving_a_room_asks_about_what_is_not_sent_and_nothing_waits_for_ever', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada', 'den');
  await page.getByRole('button', { name: 'Join another room' }).click();
  await page.fill('#line', 'attic');
  await page.press('#line', 'Enter');
  await becomes(() => page.locator('.bar h1').textContent(), 'attic');
  await live(page);
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await say(page, 'never mind');
  await page.locator('.pending').waitFor();
  const leave = async (answer) => {
    await page.locator('.room', { hasText: 'attic' }).hover();
    await page.getByRole('button', { name: 'Leave attic' }).click();
    await page.getByText('One of your messages is not sent yet').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: answer }).click();
    await page.locator('dialog').waitFor({ state: 'detached' });
  };
  await leave('Cancel');
  await becomes(() => page.locator('.pending').count(), 1);
  await leave('Leave');
  await becomes(() => page.locator('.room .title bdi').allTextContents(), ['den']);
  gate.mode = 'open';
  await live(page);
  await page.locator('.status', { hasText: 'wait' }).waitFor({ state: 'detached' });
});

test('what_waits_for_a_room_that_was_forgotten_goes_out_all_the_same', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const page = await person(t);
  await signIn(page, gate.url, 'Ada', 'attic');
  const { room } = await robot(t, server.ws, 'Bo', 'attic');
  gate.mode = 'closed';
  gate.cut();
  await page.waitForSelector('.status[data-state="offline"]');
  await say(page, 'not forgotten');
  await page.locator('.pending').waitFor();
  await page.evaluate(() => ['rooms', 'room'].forEach((name) => localStorage.removeItem(`confab.${name}`)));
  await page.goto('about:blank');
  gate.mode = 'open';
  await page.goto(`${gate.url}#room=den`);
  await until('it arrived', () => room.log.messages().some(({ text }) => text === 'not forgotten'));
  await page.locator('.room', { hasText: 'attic' }).waitFor();
});

test('a_hidden_page_sleeps_and_wakes_with_what_it_missed', async (t) => {
  const server = await Server.start(t, { ...FAST, CONFAB__PRESENCE__GRACE_MS: '500' });
  const { client, fill } = await robot(t, server.ws);
  const page = await person(t);
  await page.clock.install();
  await signIn(page, server.url, 'Ada');
  const room = client.rooms.get('den');
  await until('the robot was told of Ada', () => room.memberCount === 2);
  await seem(page, 'hidden');
  await page.clock.fastForward(14 * 60_000);
  assert.notEqual(await page.locator('.status').getAttribute('data-state'), 'asleep');
  await page.clock.fastForward(61_000);
  await page.waitForSelector('.status[data-state="asleep"]', { state: 'attached' });
  await until('the socket was given back', () => room.memberCount === 1);
  await fill(2, (i) => `meanwhile ${i}`);
  await seem(page, 'visible');
  await live(page);
  await row(page, 'meanwhile 2').waitFor();
});

test('a_name_can_be_changed_and_the_address_never_holds_a_token', async (t) => {
  const server = await Server.start(t);
  const [ada, bo] = [await person(t), await person(t)];
  await signIn(ada, server.url, 'Ada');
  await signIn(bo, server.url, 'Bo');
  await ada.getByRole('button', { name: 'Menu' }).click();
  await ada.getByRole('button', { name: 'Change name…' }).click();
  await ada.fill('#line', 'Countess');
  await ada.press('#line', 'Enter');
  await bo.locator('.people-panel bdi', { hasText: 'Countess' }).waitFor();
  await say(ada, 'new name');
  await row(bo, 'new name').locator('.name', { hasText: 'Countess' }).waitFor();
  assert.equal(new URL(ada.url()).hash, '#room=den');
  assert.equal(new URL(ada.url()).search, '');
});

test('the_proof_panel_verifies_the_chain_and_survives_what_it_breaks', async (t) => {
  const server = await Server.start(t, FAST);
  await (await robot(t, server.ws)).fill(30);
  const page = await person(t);
  await signIn(page, `${server.url}?proof`, 'Ada');
  await row(page, 'message 30').waitFor();
  await page.getByRole('button', { name: 'Verify chain' }).click();
  await page.getByText('29 links between offsets 1 and 30 recomputed: all agree.').waitFor();
  await page.getByRole('button', { name: 'Cut my socket' }).click();
  await becomes(() => figure(page, 'connections'), '2');
  await live(page);
});

test('a_text_near_the_limit_is_counted_and_beyond_it_is_not_sent', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await signIn(page, server.url, 'Ada');
  await page.fill('#box', '😀'.repeat(3990));
  await becomes(() => page.locator('#counter').textContent(), '10');
  await page.fill('#box', 'x'.repeat(4001));
  await becomes(() => page.locator('#counter').textContent(), '-1');
  await becomes(() => page.locator('.send').isDisabled(), true);
  await page.press('#box', 'Enter');
  await page.locator('.composer .error').waitFor();
  assert.equal((await page.inputValue('#box')).length, 4001, 'the draft is kept');
});

test('an_outbox_in_indexed_db_gives_back_what_was_put_in', async (t) => {
  const server = await Server.start(t);
  const page = await person(t);
  await page.goto(server.url);
  const keys = await page.evaluate(async () => {
    const { indexedDbStore } = await import('/assets/client/indexeddb.js');
    const store = indexedDbStore(indexedDB);
    for (const key of ['a', 'b', 'c']) await store.put({ key, room: 'den', user: 'u', command: { type: 'send', text: key }, queuedAt: 1, firstAt: null, after: null, unknown: false, state: 'waiting' });
    await store.remove('b');
    return (await indexedDbStore(indexedDB).load()).map(({ key }) => key);
  });
  assert.deepEqual(keys, ['a', 'c']);
});
