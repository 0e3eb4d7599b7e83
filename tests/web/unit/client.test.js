import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, InvalidInput, memoryStore } from '../../../web/client/index.js';
import { Backoff } from '../../../web/client/clock.js';
import { afterClose } from '../../../web/client/errors.js';
import { entries, entry, handClock, scriptedPeer, settle } from './scripted.js';

/** A client that is live in the room `den`, with entries 1 to 3. */
async function inTheDen(options = {}) {
  const clock = handClock();
  const peer = scriptedPeer();
  const client = new Client({ url: 'ws://peer.test/ws', name: 'Ada', WebSocket: peer.WebSocket, clock, ...options });
  const room = client.join('den');
  client.connect();
  await settle();
  await peer.socket.welcome();
  await peer.socket.joined(entries(1, 3));
  assert.equal(client.status.state, 'live');
  return { client, clock, peer, room, socket: peer.socket };
}

test('back_off_is_full_jitter_from_1_s_doubling_to_30_s', () => {
  const highest = new Backoff(() => 0.999_999);
  assert.deepEqual(Array.from({ length: 7 }, () => highest.next() + 1), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(new Backoff(() => 0).next(), 0);
});

test('close_codes_say_whether_to_come_back_and_when', () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4001, 4002, 4003, 4005, 4008, 4009]) assert.ok(afterClose(code, '').comeBack, `${code}`);
  for (const code of [1002, 1003, 1007, 1009, 4500, 4503]) assert.ok(!afterClose(code, '').comeBack, `${code}`);
  assert.equal(afterClose(4013, 'over budget; retry_ms=2500').retryMs, 2500);
});

test('the_first_frame_is_hello_and_the_token_goes_with_the_next_one', async () => {
  const { peer, socket, clock } = await inTheDen();
  assert.deepEqual(socket.heard[0], { type: 'hello', id: 1, name: 'Ada' });
  socket.end(1006);
  await clock.pass(1000);
  peer.socket.accept();
  await settle();
  assert.equal(peer.socket.last('hello').token, 'token of u1');
});

test('after_a_lost_connection_the_room_is_joined_from_its_position', async () => {
  const { client, peer, room, socket, clock } = await inTheDen();
  socket.say(entry(4));
  socket.end(1006);
  assert.equal(client.status.state, 'offline');
  assert.equal(client.status.retryAt, clock.now() + 500);
  await clock.pass(500);
  await peer.socket.welcome();
  assert.deepEqual(peer.socket.last('join').since, { offset: 4, chain: 'c4' });
  await peer.socket.joined(entries(5, 6), { recovered: true });
  assert.deepEqual([client.status.state, room.log.position.offset, client.stats.resumed], ['live', 6, 2]);
});

test('pushes_in_the_frame_of_the_join_reply_are_applied_behind_it', async () => {
  const { peer, client, clock } = await inTheDen();
  const other = client.join('attic');
  await settle();
  const at = (offset) => entry(offset, { room: 'attic' });
  peer.socket.answer('join', {
    type: 'joined', room: 'attic', position: { offset: 2, chain: 'c2' }, entries: [at(1), at(2)], oldest: 1, member_count: 1,
  }, at(3));
  await clock.pass(0);
  assert.equal(other.log.position.offset, 3);
});

test('a_hole_makes_the_client_join_again_from_its_position_and_only_once_a_second', async () => {
  const { room, socket, clock, client } = await inTheDen();
  socket.say(entry(5), entry(6));
  await settle();
  assert.deepEqual([socket.count('join'), socket.last('join').since.offset], [2, 3]);
  await socket.joined([entry(4)], { recovered: true });
  assert.equal(room.log.position.offset, 6);
  socket.say(entry(8));
  await settle();
  assert.equal(socket.count('join'), 2);
  await clock.pass(1000);
  assert.equal(socket.count('join'), 3);
  assert.equal(client.stats.healed, 2);
});

test('goaway_opens_the_next_connection_before_the_old_one_is_closed', async () => {
  const { client, peer, room, socket: old, clock } = await inTheDen();
  old.say({ type: 'goaway', in_ms: 4000, reason: 'rotate' });
  await clock.pass(1999);
  assert.equal(peer.sockets.length, 1);
  await clock.pass(1);
  const next = peer.socket;
  assert.notEqual(next, old);
  await next.welcome();
  old.say(entry(4));
  assert.equal(room.log.position.offset, 4, 'the old connection still delivers');
  assert.equal(old.closedByClient, undefined);
  await next.joined([entry(4), entry(5)], { recovered: true });
  assert.equal(old.closedByClient, 1000);
  assert.deepEqual([room.log.position.offset, client.status.state], [5, 'live']);
});

test('an_old_connection_that_waits_for_an_answer_is_kept_until_it_comes', async () => {
  const { client, peer, room, socket: old, clock } = await inTheDen();
  room.send('hello');
  await settle();
  old.say({ type: 'goaway', in_ms: 0, reason: 'drain' });
  await clock.pass(0);
  await peer.socket.welcome();
  await peer.socket.joined([], { recovered: true, position: { offset: 3, chain: 'c3' } });
  assert.equal(old.closedByClient, undefined);
  old.say(entry(4, { chain: 'of a log that is gone' }));
  assert.equal(room.log.position.offset, 3, 'its pushes count no more');
  old.answer('send', { type: 'sent', room: 'den', position: { offset: 4, chain: 'c4' }, at: 1, durability: 'stored', duplicate: false });
  await settle();
  assert.deepEqual([old.closedByClient, client.outbox.length, peer.socket.count('send')], [1000, 0, 0]);
});

test('without_a_new_connection_the_old_one_goes_on', async () => {
  const { client, peer, room, socket: old, clock } = await inTheDen();
  old.say({ type: 'goaway', in_ms: 100, reason: 'drain' });
  await clock.pass(100);
  peer.socket.end(1006);
  assert.equal(client.status.state, 'live');
  old.say(entry(4));
  assert.equal(room.log.position.offset, 4);
  await clock.pass(1000);
  assert.equal(peer.sockets.length, 3);
});

test('silence_of_two_heartbeats_makes_the_client_dial_again', async () => {
  const { client, peer, socket, clock } = await inTheDen();
  await clock.pass(40_000);
  socket.say({ type: 'ping' });
  assert.equal(socket.count('pong'), 1);
  await clock.pass(49_999);
  assert.equal(client.status.state, 'live');
  await clock.pass(1001);
  assert.equal(peer.sockets.length, 2);
});

test('a_lost_answer_is_retried_with_the_same_key_and_an_answer_ends_it', async () => {
  const { client, peer, room, socket, clock } = await inTheDen();
  const { key } = room.send('hello');
  await settle();
  assert.equal(socket.last('send').key, key);
  socket.end(1006);
  await clock.pass(1000);
  await peer.socket.welcome();
  await peer.socket.joined([], { recovered: true, position: { offset: 3, chain: 'c3' } });
  assert.equal(peer.socket.last('send').key, key);
  peer.socket.answer('send', { type: 'sent', room: 'den', position: { offset: 4, chain: 'c4' }, at: 1, durability: 'stored', duplicate: true });
  await settle();
  assert.equal(client.outbox.length, 0);
  assert.equal(room.log.position.offset, 3, 'an acknowledgement moves no position');
});

test('sends_of_a_room_go_one_after_the_other_also_over_refusals', async () => {
  const { room, socket, clock } = await inTheDen();
  const first = room.send('one');
  room.send('two');
  await settle();
  assert.equal(socket.count('send'), 1);
  socket.answer('send', { type: 'error', code: 'rate_limited', message: 'slower', retry_ms: 800 });
  await clock.pass(799);
  assert.equal(socket.count('send'), 1);
  await clock.pass(300);
  assert.deepEqual([socket.count('send'), socket.last('send').key], [2, first.key]);
});

test('after_a_rate_limit_the_next_sends_are_spread', async () => {
  const { room, socket, clock } = await inTheDen();
  const sent = (offset) => socket.answer('send', { type: 'sent', room: 'den', position: { offset, chain: 'c' }, at: 1, durability: 'stored', duplicate: false });
  for (const text of ['one', 'two', 'three']) room.send(text);
  await settle();
  socket.answer('send', { type: 'error', code: 'rate_limited', message: 'slower', retry_ms: 10 });
  await clock.pass(600);
  sent(4);
  await settle();
  assert.equal(socket.count('send'), 2);
  await clock.pass(20);
  assert.equal(socket.count('send'), 3);
});

test('a_send_to_a_room_that_the_server_forgot_joins_it_again_first', async () => {
  const { room, socket, clock } = await inTheDen();
  room.send('hello');
  await settle();
  socket.answer('send', { type: 'error', code: 'not_joined', message: 'join first' });
  await settle();
  assert.deepEqual([socket.count('join'), socket.last('join').since.offset], [2, 3]);
  await socket.joined([], { recovered: true, position: { offset: 3, chain: 'c3' } });
  await clock.pass(1000);
  assert.equal(socket.count('send'), 2);
});

test('a_read_mark_that_the_server_missed_is_told_again', async () => {
  const { peer, room, socket, clock } = await inTheDen();
  socket.end(1006);
  room.read(3);
  await clock.pass(1000);
  await peer.socket.welcome();
  await peer.socket.joined([], { recovered: true, position: { offset: 3, chain: 'c3' }, read: 2 });
  assert.deepEqual(peer.socket.last('read'), { type: 'read', room: 'den', offset: 3 });
});

test('a_refusal_that_does_not_pass_is_left_to_the_person_and_holds_nobody_up', async () => {
  const { client, room, socket } = await inTheDen();
  const { key } = room.edit(2, 'not mine');
  room.send('next');
  await settle();
  socket.answer('edit', { type: 'error', code: 'forbidden', message: 'only the author' });
  await settle();
  assert.deepEqual([client.outbox[0].state, client.outbox[0].why, socket.last('send').text], ['failed', 'forbidden', 'next']);
  client.discard(key);
  assert.deepEqual(client.outbox.map(({ command }) => command.text), ['next']);
});

/** An item whose first attempt was long ago, and a client that comes back with it. */
async function withOldItem(after, log, more = {}) {
  const clock = handClock();
  const store = memoryStore();
  store.put({
    key: 'old', room: 'den', user: 'u1', command: { type: 'send', text: 'hi' }, queuedAt: clock.now() - 900_000,
    firstAt: clock.now() - 900_000, after, unknown: true, state: 'waiting', ...more,
  });
  const peer = scriptedPeer();
  const client = new Client({ url: 'ws://peer.test/ws', name: 'Ada', WebSocket: peer.WebSocket, clock, store });
  client.join('den');
  client.connect();
  await settle();
  await peer.socket.welcome();
  await peer.socket.joined(log, { oldest: 1 });
  return { client, peer, clock };
}

test('an_old_item_whose_key_is_in_the_log_is_done', async () => {
  const mine = entry(5, { user: { id: 'u1', name: 'Ada' }, key: 'old' });
  const { client, peer } = await withOldItem({ offset: 3, chain: 'c3' }, [entry(4), mine]);
  assert.deepEqual([client.outbox.length, peer.socket.count('send')], [0, 0]);
});

test('an_old_item_is_looked_for_in_older_pages_and_then_the_person_is_asked', async () => {
  const { client, peer } = await withOldItem({ offset: 3, chain: 'c3' }, entries(8, 9));
  assert.deepEqual([peer.socket.last('history').before, peer.socket.count('send')], [8, 0]);
  peer.socket.answer('history', { type: 'page', room: 'den', position: { offset: 9, chain: 'c9' }, entries: entries(2, 7), more: true, oldest: 1 });
  await settle();
  assert.deepEqual([client.outbox[0].state, client.outbox[0].why], ['asking', 'missing']);
  const again = client.retry('old');
  await settle();
  assert.notEqual(again.key, 'old');
  assert.equal(peer.socket.last('send').key, again.key);
});

test('where_the_log_was_replaced_an_old_item_is_unknowable', async () => {
  const { client } = await withOldItem({ offset: 3, chain: 'gone' }, entries(2, 9));
  assert.deepEqual([client.outbox[0].state, client.outbox[0].why], ['asking', 'unknowable']);
});

test('what_another_user_wrote_here_stays_unsent', async () => {
  const { client, peer } = await withOldItem(null, entries(1, 2), { user: 'u7', unknown: false, firstAt: null });
  assert.deepEqual([client.outbox.length, peer.socket.count('send')], [1, 0]);
});

test('a_bad_token_is_not_replaced_by_a_new_guest', async () => {
  const clock = handClock();
  const peer = scriptedPeer();
  const client = new Client({ url: 'ws://peer.test/ws', name: 'Ada', token: 'old', WebSocket: peer.WebSocket, clock });
  client.connect();
  await settle();
  peer.socket.accept();
  await settle();
  peer.socket.answer('hello', { type: 'error', code: 'bad_token', message: 'expired' });
  await clock.pass(120_000);
  assert.deepEqual([client.status, peer.sockets.length], [{ state: 'refused', code: 'bad_token' }, 1]);
});

test('a_close_code_that_means_stay_away_is_obeyed', async () => {
  const { client, peer, socket, clock } = await inTheDen();
  socket.end(4503, 'forbidden');
  await clock.pass(120_000);
  assert.deepEqual([client.status, peer.sockets.length], [{ state: 'refused', code: 4503 }, 1]);
});

test('overload_is_given_the_time_it_asks_for', async () => {
  const { peer, socket, clock } = await inTheDen();
  socket.end(4020, 'overloaded retry_ms=7000');
  await clock.pass(6999);
  assert.equal(peer.sockets.length, 1);
  await clock.pass(500);
  assert.equal(peer.sockets.length, 2);
});

test('while_the_store_is_away_sends_wait_and_go_out_when_it_is_back', async () => {
  const { client, room, socket } = await inTheDen();
  socket.say({ type: 'degraded', on: true });
  assert.equal(client.status.state, 'degraded');
  room.send('hello');
  await settle();
  socket.answer('send', { type: 'error', code: 'unavailable', message: 'store away', retry_ms: 60_000 });
  await settle();
  socket.say({ type: 'degraded', on: false });
  await settle();
  assert.deepEqual([client.status.state, socket.count('send')], ['live', 2]);
});

test('a_long_resume_is_catching_up_until_the_top_of_that_time', async () => {
  const { client, peer, room, socket, clock } = await inTheDen();
  socket.end(1006);
  await clock.pass(1000);
  await peer.socket.welcome();
  await peer.socket.joined(entries(4, 5), { recovered: true, more: true });
  peer.socket.answer('history', { type: 'page', room: 'den', position: { offset: 8, chain: 'c8' }, entries: [entry(8)], more: true, oldest: 1 });
  await settle();
  assert.deepEqual([client.status.state, room.log.position.offset], ['catching up', 5]);
  peer.socket.say(...entries(6, 8));
  assert.deepEqual([client.status.state, room.log.position.offset], ['live', 8]);
});

test('a_room_that_is_refused_is_told_and_not_asked_for_again', async () => {
  const { client, socket, clock } = await inTheDen();
  const bad = client.join('\u0000');
  await settle();
  socket.answer('join', { type: 'error', code: 'bad_room', message: 'controls' });
  await clock.pass(30_000);
  assert.deepEqual([bad.state, bad.refusedBy, socket.count('join')], ['refused', 'bad_room', 2]);
  assert.equal(client.status.state, 'live');
});

test('a_reset_replaces_what_is_shown_and_tells_why', async () => {
  const { room, socket } = await inTheDen();
  const told = [];
  room.on('reset', (detail) => told.push(detail));
  socket.say({ type: 'reset', room: 'den', reason: 'diverged', position: { offset: 2, chain: 'x2' }, entries: [entry(1, { chain: 'x1' }), entry(2, { chain: 'x2' })], oldest: 1 });
  assert.deepEqual([told, room.log.position], [[{ reason: 'diverged' }], { offset: 2, chain: 'x2' }]);
});

test('input_that_would_surely_be_refused_never_reaches_the_outbox', async () => {
  const { client, room } = await inTheDen();
  for (const text of ['', ' \n', 'x'.repeat(4001), '😀'.repeat(4001)]) assert.throws(() => room.send(text), InvalidInput);
  room.send('😀'.repeat(4000));
  assert.equal(client.outbox.length, 1);
});

test('a_frame_that_is_not_the_protocol_ends_the_connection_and_not_the_program', async () => {
  const { client, socket } = await inTheDen();
  for (const listener of [socket.onmessage]) listener({ data: '{"half' });
  assert.equal(client.status.state, 'offline');
});

test('a_sleeping_client_keeps_its_position_and_wakes_with_it', async () => {
  const { client, peer, socket, clock } = await inTheDen();
  client.sleep();
  assert.deepEqual([client.status.state, socket.closedByClient], ['asleep', 1000]);
  await clock.pass(3_600_000);
  assert.equal(peer.sockets.length, 1);
  client.connect();
  await settle();
  await peer.socket.welcome();
  assert.equal(peer.socket.last('join').since.offset, 3);
});

test('a_muted_connection_is_found_dead_by_a_probe', async () => {
  const { client, peer, clock } = await inTheDen();
  client.mute();
  await clock.pass(2000);
  client.nudge();
  await clock.pass(5000);
  assert.notEqual(client.status.state, 'live');
  await clock.pass(1000);
  assert.equal(peer.sockets.length, 2);
});

test('what_a_newer_server_adds_is_ignored_and_what_an_older_one_lacks_has_defaults', async () => {
  const clock = handClock();
  const peer = scriptedPeer();
  const client = new Client({ url: 'ws://peer.test/ws', name: 'Ada', WebSocket: peer.WebSocket, clock });
  const room = client.join('den');
  client.connect();
  await settle();
  peer.socket.accept();
  await settle();
  peer.socket.answer('hello', { type: 'welcome', user: { id: 'u1', name: 'Ada', shoe_size: 38 }, token: 't', instance: 'i', durability: 'eternal', heartbeat_ms: 25_000 });
  await settle();
  await peer.socket.joined([entry(1), entry(2, { mood: 'new' })], { members: undefined });
  peer.socket.say({ type: 'weather', room: 'den' }, { type: 'forecast' }, { type: 'presence', room: 'attic', joined: [], left: [], member_count: 9 }, entry(3));
  assert.deepEqual([client.status.state, room.log.position.offset, client.limits.text_chars, room.listed], ['live', 3, 4000, false]);
});

test('a_listed_room_counts_whom_it_lists_and_a_number_alone_makes_it_a_counted_one', async () => {
  const { room, socket } = await inTheDen();
  const bo = { id: 'u2', name: 'Bo' };
  const presence = (more) => socket.say({ type: 'presence', room: 'den', joined: [], left: [], ...more });
  const seen = () => [room.listed, room.memberCount, [...room.members.keys()]];
  // The number is of another moment than the list: this client was told of itself and Bo in another order.
  presence({ joined: [bo], member_count: 1 });
  assert.deepEqual(seen(), [true, 2, ['u1', 'u2']]);
  presence({ left: [bo], member_count: 2 });
  assert.deepEqual(seen(), [true, 1, ['u1']]);
  presence({ member_count: 201 });
  assert.deepEqual(seen(), [false, 201, []]);
  presence({ joined: [bo], member_count: 202 });
  assert.deepEqual(seen(), [false, 202, []]);
  presence({ members: [{ id: 'u1', name: 'Ada' }, bo], member_count: 2 });
  assert.deepEqual(seen(), [true, 2, ['u1', 'u2']]);
});

test('a_connection_that_takes_over_brings_its_own_state_of_the_store', async () => {
  const { client, peer, socket: old, clock } = await inTheDen();
  old.say({ type: 'degraded', on: true });
  old.say({ type: 'goaway', in_ms: 0, reason: 'rotate' });
  await clock.pass(0);
  await peer.socket.welcome();
  await peer.socket.joined([], { recovered: true, position: { offset: 3, chain: 'c3' } });
  assert.equal(client.status.state, 'live');
  peer.socket.say({ type: 'degraded', on: true });
  assert.equal(client.status.state, 'degraded');
});

test('a_removal_in_another_tab_is_heard', async () => {
  let heard;
  const store = { ...memoryStore(), watch: (removed) => { heard = removed; } };
  const { client, room } = await inTheDen({ store });
  const { key } = room.send('hello');
  heard(key);
  assert.equal(client.outbox.length, 0);
});
