import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chainAfter, verifyChain } from '../../../web/client/index.js';
import { sha1Plain } from '../../../web/client/chain.js';
import { entry } from './scripted.js';

const sha1 = (text) => createHash('sha1').update(text).digest('hex');

/** The chain written down once more, from the protocol's own words. */
function chained(count, before = '0123456789abcdef') {
  let previous = before;
  return Array.from({ length: count }, (_, i) => {
    const one = entry(i + 1, { text: `tëxt ${i} 👋` });
    const digest = sha1(`message\nu2\nBo\nk${i + 1}\n\n\n\n\n${sha1(one.text)}`);
    previous = sha1(`${previous}\n${one.offset}\n${one.at}\n${digest}`).slice(0, 16);
    return { ...one, chain: previous };
  });
}

test('the_plain_sha1_agrees_with_the_platform_at_every_length_around_a_block', () => {
  for (const length of [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 16_384]) {
    const bytes = new Uint8Array(length).map((_, i) => (i * 31 + length) & 255);
    assert.equal(Buffer.from(sha1Plain(bytes)).toString('hex'), createHash('sha1').update(bytes).digest('hex'), `${length} bytes`);
  }
});

test('a_whole_log_verifies_with_and_without_the_chain_before_it', async () => {
  const log = chained(5);
  assert.deepEqual(await verifyChain(log, '0123456789abcdef'), { ok: true, checked: 5 });
  assert.deepEqual(await verifyChain(log.slice(2)), { ok: true, checked: 2 });
  assert.deepEqual(await verifyChain(log, 'fedcba9876543210'), { ok: false, checked: 0, brokenAt: 1 });
});

test('a_changed_text_a_swap_and_a_missing_entry_are_found_where_they_are', async () => {
  const log = chained(5);
  assert.equal((await verifyChain(log.with(2, { ...log[2], text: 'other' }))).brokenAt, 3);
  assert.equal((await verifyChain([log[0], log[1], log[3]])).brokenAt, 4);
  assert.equal((await verifyChain(log.with(1, { ...log[1], user: { id: 'u9', name: 'Bo' } }))).brokenAt, 2);
});

test('a_withdrawn_text_still_verifies_by_its_digest', async () => {
  const log = chained(3);
  const { text, ...rest } = log[1];
  assert.equal((await verifyChain(log.with(1, { ...rest, text_sha: sha1(text), deleted: true }))).ok, true);
});

test('every_field_of_an_entry_counts', async () => {
  const one = entry(4, { type: 'reacted', text: undefined, target: 2, emoji: '🎉', on: true });
  const digest = sha1('reacted\nu2\nBo\nk4\n2\n🎉\ntrue\n\n');
  assert.equal(await chainAfter('a'.repeat(16), one), sha1(`${'a'.repeat(16)}\n4\n1004\n${digest}`).slice(0, 16));
});

test('without_crypto_subtle_the_chain_is_the_same', async () => {
  const log = chained(3);
  const real = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  Object.defineProperty(globalThis, 'crypto', { configurable: true, value: {} });
  try {
    assert.equal((await verifyChain(log, '0123456789abcdef')).ok, true);
  } finally {
    Object.defineProperty(globalThis, 'crypto', real);
  }
});
