import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { Client, verifyChain } from '../../../web/client/index.js';
import { greet } from '../../../web/client/example.js';
import { Gate } from './gate.js';
import { Server, becomes, until } from './server.js';

/** A client of the real server, live in its rooms, closed when the test is over. */
async function enter(t, url, name, ...rooms) {
  const client = new Client({ url, name, WebSocket });
  t.after(() => client.close());
  const joined = rooms.map((room) => client.join(room));
  client.connect();
  await until(`${name} is live`, () => client.status.state === 'live' && joined.every((room) => room.state === 'live'));
  return [client, ...joined];
}

const texts = (room) => room.log.messages().map(({ text }) => text);
const stored = (client) => until('everything is stored', () => client.outbox.length === 0);

test('the_example_of_the_readme_runs', async (t) => {
  const server = await Server.start(t);
  const lines = [];
  const client = greet(server.ws, WebSocket, (line) => lines.push(line));
  t.after(() => client.close());
  await until('the message came back', () => lines.includes('Ada: hello') && lines.includes('stored at 1'));
});

test('two_clients_see_one_order_and_the_chain_of_what_they_see_is_whole', async (t) => {
  const server = await Server.start(t, { CONFAB__LIMITS__SENDS_PER_SECOND: '1000000', CONFAB__LIMITS__SEND_BURST: '1000000' });
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  for (let i = 0; i < 100; i += 1) {
    hers.send(`ada ${i}`);
    his.send(`bo ${i}`);
  }
  await Promise.all([stored(ada), stored(bo)]);
  await until('both have all', () => hers.log.position.offset === 200 && his.log.position.offset === 200);
  assert.deepEqual(hers.log.entries, his.log.entries);
  assert.deepEqual(texts(hers).filter((text) => text.startsWith('ada')), Array.from({ length: 100 }, (_, i) => `ada ${i}`));
  assert.deepEqual(await verifyChain(hers.log.entries), { ok: true, checked: 199 });
});

test('edits_deletions_and_reactions_reach_the_other_side_and_the_chain_survives_withdrawn_texts', async (t) => {
  const server = await Server.start(t);
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  hers.send('first', {});
  hers.send('second', { replyTo: 1 });
  await stored(ada);
  hers.edit(1, 'first, better');
  hers.delete(2);
  await until('the edit is there', () => his.log.position.offset === 4);
  his.react(1, '👍', true);
  await stored(bo);
  await until('the reaction is there', () => hers.log.position.offset === 5);
  const { text, edited, reactions } = hers.log.message(1);
  assert.deepEqual([text, edited, [...reactions.keys()], hers.log.message(2).deleted], ['first, better', true, ['👍'], true]);
  const [, late] = await enter(t, server.ws, 'Cy', 'den');
  assert.deepEqual(late.log.message(1).text, 'first, better');
  assert.equal(late.log.entries[1].text, undefined, 'a deleted text is not served again');
  assert.deepEqual(await verifyChain(late.log.entries), { ok: true, checked: 4 });
});

test('only_the_author_may_edit_and_the_refusal_waits_for_the_person', async (t) => {
  const server = await Server.start(t);
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  hers.send('mine');
  await stored(ada);
  his.edit(1, 'not his');
  await until('it is refused', () => bo.outbox[0]?.state === 'failed');
  assert.equal(bo.outbox[0].why, 'forbidden');
});

test('what_happens_while_the_path_is_cut_arrives_once_and_in_order', async (t) => {
  const server = await Server.start(t, { CONFAB__LIMITS__SEND_BURST: '1000' });
  const gate = await Gate.open(t, server.port);
  const [ada, hers] = await enter(t, gate.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  const seen = [];
  hers.on('entries', ({ added }) => seen.push(...added.map(({ offset }) => offset)));
  gate.mode = 'down';
  gate.cut();
  await until('it is noticed', () => ada.status.state !== 'live');
  for (let i = 1; i <= 300; i += 1) his.send(`${i}`);
  await stored(bo);
  gate.mode = 'open';
  await until('all of it is there', () => hers.log.position.offset === 300);
  assert.deepEqual(seen, Array.from({ length: 300 }, (_, i) => i + 1));
  assert.equal(ada.stats.connections, 2);
});

test('a_send_whose_answer_was_lost_makes_one_message', async (t) => {
  const server = await Server.start(t);
  const gate = await Gate.open(t, server.port);
  const [ada, hers] = await enter(t, gate.ws, 'Ada', 'den');
  const [, his] = await enter(t, server.ws, 'Bo', 'den');
  gate.swallowAnswers = true;
  const replies = [];
  ada.on('sent', ({ reply }) => replies.push(reply.duplicate));
  hers.send('once');
  await until('it is stored', () => texts(his).includes('once'));
  assert.equal(ada.outbox.length, 1);
  gate.cut();
  gate.swallowAnswers = false;
  await stored(ada);
  hers.send('after');
  await until('both have the next one', () => [his, hers].every((room) => texts(room).includes('after')));
  await becomes(() => [texts(his), texts(hers), replies[0]], [['once', 'after'], ['once', 'after'], true]);
});

test('a_killed_server_that_comes_back_empty_is_told_as_a_lost_log', async (t) => {
  const server = await Server.start(t);
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  hers.send('before');
  await stored(ada);
  const resets = [];
  hers.on('reset', ({ reason }) => resets.push(reason));
  await server.kill();
  await until('it is noticed', () => ada.status.state !== 'live');
  hers.send('while it was away');
  await server.start();
  await stored(ada);
  await becomes(() => [resets, texts(hers)], [['lost'], ['while it was away']]);
});

test('a_server_that_forgot_its_guests_signs_them_out_and_what_they_wrote_stays_theirs', async (t) => {
  const server = await Server.start(t, { CONFAB__AUTH__KEYS: '' });
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  await server.kill();
  await until('it is noticed', () => ada.status.state !== 'live');
  const { key } = hers.send('while it was away');
  await server.start();
  await until('it is refused', () => ada.status.state === 'refused');
  assert.deepEqual([ada.status.code, ada.outbox.map((item) => item.key)], ['bad_token', [key]]);
});

test('rotation_never_blinks_and_nothing_is_lost_or_doubled', async (t) => {
  const server = await Server.start(t, { CONFAB__ROTATE_AFTER_MS: '1500', CONFAB__LIMITS__SEND_BURST: '100000', CONFAB__LIMITS__SENDS_PER_SECOND: '100000' });
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  await until('Bo was announced', () => hers.members.has(bo.user.id));
  const states = new Set();
  const presence = [];
  const seen = [];
  ada.on('status', ({ state }) => states.add(state));
  hers.on('presence', ({ joined, left }) => presence.push(...joined, ...left));
  hers.on('entries', ({ added }) => seen.push(...added.map(({ offset }) => offset)));
  let count = 0;
  while (ada.stats.connections < 3 || bo.stats.connections < 3) {
    his.send(`${count += 1}`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    assert.ok(count < 4000, 'the sockets rotate');
  }
  await stored(bo);
  await until('all of it is there', () => hers.log.position.offset === count);
  assert.deepEqual(seen, Array.from({ length: count }, (_, i) => i + 1));
  assert.deepEqual([[...states].filter((state) => state !== 'live'), presence], [[], []]);
});

test('a_half_open_connection_is_found_and_replaced', async (t) => {
  const server = await Server.start(t, { CONFAB__HEARTBEAT_MS: '1000', CONFAB__HEARTBEAT_TIMEOUT_MS: '1000' });
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  ada.mute();
  his.send('are you there?');
  await stored(bo);
  await until('the message came over another connection', () => texts(hers).includes('are you there?'));
  assert.ok(ada.stats.connections >= 2);
});

test('people_come_and_go_and_type', async (t) => {
  const server = await Server.start(t);
  const [, hers] = await enter(t, server.ws, 'Ada', 'den');
  const [bo, his] = await enter(t, server.ws, 'Bo', 'den');
  await until('Bo is here', () => hers.members.has(bo.user.id) && hers.listed);
  his.typing();
  await until('Bo types', () => hers.typists[0]?.id === bo.user.id);
  his.send('done');
  await until('Bo has sent', () => hers.typists.length === 0);
  his.leave();
  await until('Bo is gone', () => !hers.members.has(bo.user.id) && hers.memberCount === 1);
});

test('a_read_mark_reaches_the_other_device_and_the_next_join', async (t) => {
  const server = await Server.start(t);
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  for (const text of ['one', 'two']) hers.send(text);
  await stored(ada);
  await until('both are there', () => hers.log.position.offset === 2);
  const second = new Client({ url: server.ws, name: 'Ada', token: ada.token, WebSocket });
  t.after(() => second.close());
  const there = second.join('den');
  second.connect();
  await until('the second device is live', () => there.state === 'live');
  hers.read(2);
  await until('the mark is there', () => there.readOffset === 2);
  const third = new Client({ url: server.ws, name: 'Ada', token: ada.token, WebSocket });
  t.after(() => third.close());
  const late = third.join('den');
  third.connect();
  await until('the third device is told', () => late.readOffset === 2);
});

test('older_pages_reach_the_beginning', async (t) => {
  const server = await Server.start(t, { CONFAB__LIMITS__SEND_BURST: '1000' });
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  for (let i = 1; i <= 230; i += 1) hers.send(`${i}`);
  await stored(ada);
  const [, late] = await enter(t, server.ws, 'Bo', 'den');
  assert.equal(late.log.first, 181);
  assert.equal((await late.older(100)).length, 100);
  while (late.hasOlder) await late.older(100);
  assert.deepEqual(texts(late), Array.from({ length: 230 }, (_, i) => `${i + 1}`));
  assert.deepEqual(await late.older(), []);
});

test('the_same_room_in_two_spellings_is_one_room', async (t) => {
  const server = await Server.start(t);
  const [ada, composed] = await enter(t, server.ws, 'Ada', 'caf\u00e9');
  assert.equal(ada.join(' cafe\u0301 '), composed);
});

test('a_forged_token_is_refused_and_not_replaced', async (t) => {
  const server = await Server.start(t);
  const client = new Client({ url: server.ws, name: 'Eve', token: 'forged', WebSocket });
  t.after(() => client.close());
  client.connect();
  await until('it is refused', () => client.status.state === 'refused');
  assert.equal(client.status.code, 'bad_token');
});

test('a_name_or_a_room_that_is_not_one_is_refused_with_its_code', async (t) => {
  const server = await Server.start(t);
  const client = new Client({ url: server.ws, name: 'a\u202eb', WebSocket });
  t.after(() => client.close());
  client.connect();
  await until('it is refused', () => client.status.state === 'refused');
  assert.equal(client.status.code, 'bad_name');
  const [other] = await enter(t, server.ws, 'Ada', 'den');
  const room = other.join('x'.repeat(129));
  await until('the room is refused', () => room.state === 'refused');
  assert.equal(room.refusedBy, 'too_long');
});

test('a_draining_server_is_left_before_it_ends', async (t) => {
  const server = await Server.start(t);
  const [ada, hers] = await enter(t, server.ws, 'Ada', 'den');
  hers.send('kept');
  await stored(ada);
  await server.stop();
  await until('the client knows', () => ['offline', 'connecting'].includes(ada.status.state));
  assert.equal(ada.status.code, undefined);
});
