import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Disconnected, Refusal, StoreFailed, memoryStore, webStore } from '../../../web/client/index.js';
import { Outbox, WINDOW_MARGIN_MS, afterFailure, attempted, decide } from '../../../web/client/outbox.js';

const WINDOW = 600_000;
const fresh = (more = {}) => ({
  key: 'k', room: 'den', user: 'u1', command: { type: 'send', text: 'hi' }, queuedAt: 1000, firstAt: null, after: null,
  unknown: false, state: 'waiting', ...more,
});
const position = { offset: 7, chain: 'c7' };

test('what_was_never_tried_may_be_sent_at_any_age', () => {
  assert.equal(decide(fresh(), 1000 + 50 * WINDOW, WINDOW), 'send');
});

test('an_unknown_outcome_is_retried_only_within_the_window_less_its_margin', () => {
  const item = attempted(fresh(), 5000, position);
  const last = 5000 + WINDOW - WINDOW_MARGIN_MS;
  assert.equal(decide(item, last - 1, WINDOW), 'send');
  assert.equal(decide(item, last, WINDOW), 'search');
});

test('a_clock_that_was_set_back_says_nothing_about_the_age', () => {
  assert.equal(decide(attempted(fresh(), 5000, position), 4999, WINDOW), 'search');
});

test('the_first_unknown_attempt_sets_the_time_and_the_place_to_look_behind', () => {
  const first = attempted(fresh(), 5000, position);
  assert.deepEqual([first.unknown, first.firstAt, first.after], [true, 5000, position]);
  assert.equal(attempted(first, 9000, { offset: 9, chain: 'c9' }), first);
});

test('a_refusal_of_the_first_attempt_leaves_nothing_unknown', () => {
  const item = fresh();
  const attempt = attempted(item, 5000, position);
  for (const code of ['rate_limited', 'overloaded', 'not_joined']) {
    assert.deepEqual(afterFailure(item, attempt, new Refusal({ code })), item, code);
  }
  assert.deepEqual(afterFailure(item, attempt, new Refusal({ code: 'too_long' })), { ...item, state: 'failed', why: 'too_long' });
});

test('a_later_refusal_leaves_an_unknown_outcome_unknown', () => {
  const item = attempted(fresh(), 5000, position);
  assert.deepEqual(afterFailure(item, item, new Refusal({ code: 'overloaded' })), item);
});

test('no_answer_and_the_three_unknown_refusals_keep_the_key', () => {
  const item = fresh();
  const attempt = attempted(item, 5000, position);
  const errors = [new Disconnected(1006, ''), ...['unconfirmed', 'unavailable', 'internal'].map((code) => new Refusal({ code }))];
  for (const error of errors) assert.equal(afterFailure(item, attempt, error), attempt, error.code);
});

test('the_head_is_of_this_room_and_user_and_waits_for_no_person', async () => {
  const outbox = new Outbox(memoryStore());
  await outbox.put(fresh({ key: 'a', state: 'failed', why: 'too_long' }));
  await outbox.put(fresh({ key: 'b', user: 'u2' }));
  await outbox.put(fresh({ key: 'c', room: 'attic' }));
  await outbox.put(fresh({ key: 'd' }));
  assert.equal(outbox.head('den', 'u1').key, 'd');
});

/** What of `Storage` the store uses, over a plain object. */
function storage(room = Infinity) {
  const held = {};
  const methods = {
    getItem: (name) => held[name] ?? null,
    setItem(name, value) {
      if (Object.keys(held).length >= room) throw new DOMException('full', 'QuotaExceededError');
      held[name] = value;
    },
    removeItem(name) { delete held[name]; },
  };
  return new Proxy(held, { get: (target, name) => methods[name] ?? target[name] });
}

test('a_web_store_gives_back_what_was_put_in_the_order_written', async () => {
  const place = storage();
  place.setItem('confab.outbox.bad', '{');
  place.setItem('other', '{"key":"not an item"}');
  const store = webStore(place);
  const outbox = new Outbox(store);
  await outbox.put(fresh({ key: 'z', queuedAt: 1 }));
  await outbox.put(fresh({ key: 'a', queuedAt: 2 }));
  await outbox.remove('nothing');
  const again = new Outbox(webStore(place));
  await again.load(() => {});
  assert.deepEqual(again.items.map(({ key }) => key), ['z', 'a']);
});

test('a_full_store_says_so_and_the_item_stays_in_memory', async () => {
  const outbox = new Outbox(webStore(storage(0)));
  await assert.rejects(outbox.put(fresh()), StoreFailed);
  assert.equal(outbox.get('k').key, 'k');
});
