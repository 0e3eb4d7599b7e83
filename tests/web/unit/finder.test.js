import assert from 'node:assert/strict';
import { test } from 'node:test';
import { found } from '../../../web/app/finder.js';

const message = (offset, text, more = {}) => ({ offset, text, user: { id: 'u1', name: 'Zoë' }, deleted: false, ...more });

test('every_word_counts_in_text_or_name_without_case_and_accents_newest_first', () => {
  const messages = [message(1, 'Crème brûlée'), message(2, 'CREME only'), message(3, 'brulee and creme'), message(4, 'creme brulee', { deleted: true }), message(5, 'ﬁn', { user: { id: 'u2', name: 'Bo' } })];
  const offsets = (words) => found(messages, words).map(({ offset }) => offset);
  assert.deepEqual(offsets('creme'), [3, 2, 1]);
  assert.deepEqual(offsets('brûlée  creme'), [3, 1]);
  assert.deepEqual(offsets('zoe only'), [2]);
  assert.deepEqual(offsets('fin'), [5]);
  assert.deepEqual(offsets('  '), []);
  assert.deepEqual(offsets('('), []);
});
