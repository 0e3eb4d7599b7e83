import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockTime, dayLine, dayOf, initialOf, isJumbo, partsOf, plainOf, safeLink, whenIs } from '../../../web/app/format.js';

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

test('words_are_marked_only_where_a_writer_meant_it', () => {
  const shape = (parts) => parts.map((part) => (part.parts ? { [part.kind]: shape(part.parts) } : part.kind === 'text' ? part.text : { [part.kind]: part.text }));
  assert.deepEqual(shape(partsOf('a **b** *c* _d_ ~~e~~!')), ['a ', { strong: ['b'] }, ' ', { em: ['c'] }, ' ', { em: ['d'] }, ' ', { s: ['e'] }, '!']);
  assert.deepEqual(shape(partsOf('**b *c* d**')), [{ strong: ['b ', { em: ['c'] }, ' d'] }]);
  assert.deepEqual(shape(partsOf('**`x*y*`** https://host.test/*a*/_b_ *c*')), ['**', { code: 'x*y*' }, '** ', { link: 'https://host.test/*a*/_b_' }, ' ', { em: ['c'] }]);
  for (const text of ['2*3*4', '2 * 3 * 4', '__proto__', 'snake_case_name', '*a\nb*', '**', '****', '* a', '_ _', '~~ ~~', '*a_', 'a*b*', '*שלום']) assert.deepEqual(shape(partsOf(text)), [text], text);
  assert.deepEqual(shape(partsOf('*שלום*')), [{ em: ['שלום'] }]);
});

test('one_line_of_a_text_is_what_people_read_of_it', () => {
  assert.equal(plainOf('**b** `c`\n```\nd\n```  e'), 'b c d e');
  assert.equal([...plainOf('😀'.repeat(500), 100)].length, 100);
});

test('a_text_full_of_signs_is_read_in_no_time', () => {
  for (const sign of ['*', '_', '~~', '**a', '*a ', '`', '```', '_a', 'https://', '*a*b']) {
    const began = process.cpuUsage();
    partsOf(sign.repeat(4000 / sign.length));
    // The processor's time: what others do on this machine says nothing about the text.
    const took = process.cpuUsage(began).user / 1000;
    assert.ok(took < 500, `${sign}: ${took} ms`);
  }
});

test('a_moment_is_a_time_today_and_a_day_before', () => {
  const now = new Date(2024, 1, 29, 12).getTime();
  assert.equal(whenIs(now - 3_600_000, now), clockTime(now - 3_600_000));
  assert.match(whenIs(new Date(2024, 1, 28, 23, 59).getTime(), now), /^yesterday, /);
  assert.equal(whenIs(new Date(2023, 0, 1).getTime(), now), dayLine(new Date(2023, 0, 1).getTime(), now));
});
