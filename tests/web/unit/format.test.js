import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayLine, dayOf, initialOf, isJumbo, partsOf, safeLink } from '../../../web/app/format.js';

test('only_http_https_and_mail_addresses_are_links', () => {
  for (const good of ['https://host.test/', 'http://host.test/a?b#c', 'mailto:a@host.test']) assert.ok(safeLink(good), good);
  for (const bad of ['javascript:alert(1)', 'JAVASCRIPT:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///x', 'blob:https://host.test/1', 'host.test', '//host.test']) {
    assert.equal(safeLink(bad), undefined, bad);
  }
});

test('a_sentence_keeps_its_own_signs_and_an_address_its_brackets', () => {
  const links = (text) => partsOf(text).filter(({ kind }) => kind === 'link').map((part) => part.text);
  assert.deepEqual(links('See https://host.test/a_(b), or (https://host.test/c). “https://host.test/d”!'),
    ['https://host.test/a_(b)', 'https://host.test/c', 'https://host.test/d']);
  assert.deepEqual(links('`https://host.test/` javascript:alert(1) ftp://host.test'), []);
});

test('the_parts_of_a_text_are_the_whole_text', () => {
  for (const text of ['plain', '`a` b `c`', '```\nblock\n``` after', 'https://host.test x', '`', '```', '``` ```', '`\n`', '']) {
    assert.equal(partsOf(text).map((part) => part.text).join(''), text.replace(/```\n?([^]+?)\n?```|`([^`\n]+)`/gu, '$1$2'), text);
  }
});

test('days_are_those_of_the_reader', () => {
  const now = new Date(2024, 1, 29, 12).getTime();
  assert.equal(dayLine(now - 3_600_000, now), 'Today');
  assert.equal(dayLine(new Date(2024, 1, 28, 23, 59).getTime(), now), 'Yesterday');
  assert.match(dayLine(new Date(2023, 0, 1).getTime(), now), /2023/);
  assert.notEqual(dayOf(new Date(2024, 1, 28, 23, 59).getTime()), dayOf(new Date(2024, 1, 29, 0, 1).getTime()));
});

test('an_initial_is_what_people_see_as_one_sign', () => {
  assert.equal(initialOf('ada'), 'A');
  assert.equal(initialOf('👩‍👩‍👧 family'), '👩‍👩‍👧');
  assert.equal(initialOf('e\u0301mile'), 'E\u0301');
});

test('a_few_emoji_alone_are_large', () => {
  for (const text of ['👍', '👍🏽 🎉', '🇩🇪', '👩‍👩‍👧']) assert.ok(isJumbo(text), text);
  for (const text of ['1', '👍 ok', '👍👍👍👍', '', '#']) assert.ok(!isJumbo(text), text);
});
