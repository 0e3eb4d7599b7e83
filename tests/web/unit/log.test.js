import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log } from '../../../web/client/index.js';
import { entries, entry } from './scripted.js';

const offsets = (log) => log.entries.map(({ offset }) => offset);

/** Small random numbers that are the same in every run. */
function chance(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('an_offset_that_is_there_is_dropped', () => {
  const log = new Log();
  log.reset(entries(5, 7), { offset: 7, chain: 'c7' });
  assert.deepEqual(log.push(entry(6)), { added: [], hole: false });
  assert.deepEqual(offsets(log), [5, 6, 7]);
});

test('a_jump_is_a_hole_and_what_is_beyond_waits_for_it', () => {
  const log = new Log();
  log.reset(entries(1, 3), { offset: 3, chain: 'c3' });
  assert.deepEqual(log.push(entry(5)), { added: [], hole: true });
  assert.deepEqual(log.position, { offset: 3, chain: 'c3' });
  const { added, hole } = log.resume([entry(4)], false);
  assert.deepEqual([added.map(({ offset }) => offset), hole], [[4, 5], false]);
});

test('a_resume_that_does_not_reach_the_position_is_a_hole', () => {
  const log = new Log();
  log.reset(entries(1, 3), { offset: 3, chain: 'c3' });
  assert.deepEqual(log.resume(entries(5, 6), false), { added: [], hole: true });
});

test('what_follows_as_pushes_is_no_hole_and_meets_what_was_held_back', () => {
  const log = new Log();
  log.reset(entries(1, 3), { offset: 3, chain: 'c3' });
  log.push(entry(7));
  assert.deepEqual(log.resume(entries(4, 5), true).hole, false);
  assert.deepEqual(log.push(entry(6)).added.map(({ offset }) => offset), [6, 7]);
  assert.deepEqual(log.push(entry(7)), { added: [], hole: false });
});

test('any_order_with_repeats_gives_the_log_once_and_in_order', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const below = chance(seed);
    const log = new Log();
    log.reset(entries(1, 10), { offset: 10, chain: 'c10' });
    const arriving = entries(5, 60).flatMap((one) => (below(4) === 0 ? [one, one] : [one]));
    for (let i = arriving.length - 1; i > 0; i -= 1) {
      const j = Math.max(0, i - below(9));
      [arriving[i], arriving[j]] = [arriving[j], arriving[i]];
    }
    const shown = [];
    for (const one of arriving) {
      const { added, hole } = log.push(one);
      shown.push(...added);
      if (hole && below(3) === 0) shown.push(...log.resume(entries(log.position.offset + 1, log.position.offset + 2), false).added);
    }
    shown.push(...log.resume(entries(log.position.offset + 1, 60), false).added);
    assert.deepEqual(shown.map(({ offset }) => offset), entries(11, 60).map(({ offset }) => offset), `seed ${seed}`);
    assert.deepEqual(offsets(log), entries(1, 60).map(({ offset }) => offset), `seed ${seed}`);
  }
});

test('an_older_page_goes_in_front_only_where_it_reaches_what_is_loaded', () => {
  const log = new Log();
  log.reset(entries(10, 12), { offset: 12, chain: 'c12' });
  assert.deepEqual(log.prepend(entries(5, 8)), []);
  assert.equal(log.prepend(entries(5, 10)).length, 5);
  assert.deepEqual(offsets(log), [5, 6, 7, 8, 9, 10, 11, 12]);
});

test('a_message_is_what_the_entries_behind_it_make_of_it', () => {
  const bo = { id: 'u2', name: 'Bo' };
  const ada = { id: 'u1', name: 'Ada' };
  const log = new Log();
  log.reset([entry(1, { text: undefined, text_sha: 'aa', edited: true }), entry(2)], { offset: 2, chain: 'c2' });
  log.push(entry(3, { type: 'edited', target: 1, text: 'better' }));
  log.push(entry(4, { type: 'reacted', target: 1, emoji: '👍', on: true, user: bo }));
  log.push(entry(5, { type: 'reacted', target: 1, emoji: '👍', on: true, user: ada }));
  log.push(entry(6, { type: 'reacted', target: 1, emoji: '👍', on: false, user: bo }));
  const message = log.message(1);
  assert.deepEqual([message.text, message.edited, message.reactions], ['better', true, new Map([['👍', [ada]]])]);
  log.push(entry(7, { type: 'deleted', target: 1 }));
  assert.deepEqual([message.text, message.deleted, message.reactions.size], ['', true, 0]);
  assert.deepEqual(log.messages().map(({ offset }) => offset), [1, 2]);
});

test('entries_about_a_message_that_is_not_loaded_count_when_it_is', () => {
  const log = new Log();
  log.reset([entry(9, { type: 'edited', target: 3, text: 'newer' })], { offset: 9, chain: 'c9' });
  log.prepend([...entries(3, 7), entry(8, { type: 'edited', target: 3, text: 'older' })]);
  assert.equal(log.message(3).text, 'newer');
  assert.equal(log.trim(1), 6);
  assert.equal(log.message(3), undefined);
  log.prepend([...entries(3, 7), entry(8, { type: 'edited', target: 3, text: 'older' })]);
  assert.equal(log.message(3).text, 'newer');
});

test('a_key_is_found_for_its_author_only', () => {
  const log = new Log();
  log.reset(entries(1, 3), { offset: 3, chain: 'c3' });
  assert.equal(log.find('u2', 'k2'), 2);
  assert.equal(log.find('u1', 'k2'), undefined);
});
