import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { CLOSES, REFUSALS, resetText, statusText, waitingText } from '../../../web/app/texts.js';
import { afterClose } from '../../../web/client/errors.js';

const protocol = await readFile(new URL('../../../src/protocol/mod.rs', import.meta.url), 'utf8');
const codes = [...protocol.matchAll(/^    [A-Z]\w+ = "(\w+)",$/gm)].map(([, code]) => code);
const closes = [...protocol.matchAll(/^    [A-Z]\w+ = (\d{4}) "/gm)].map(([, code]) => Number(code));

test('every_refusal_code_of_the_server_has_a_text', () => {
  assert.ok(codes.length >= 20, 'the list was read');
  assert.deepEqual(Object.keys(REFUSALS).sort(), [...codes].sort());
});

test('every_close_code_that_ends_for_good_has_a_text_and_the_others_say_when_the_next_attempt_is', () => {
  assert.ok(closes.length >= 15, 'the list was read');
  for (const code of closes) {
    if (afterClose(code, '').comeBack) continue;
    const { text, action } = statusText({ state: 'refused', code }, 0, 0);
    assert.equal(text, CLOSES[code], `${code}`);
    assert.equal(action, 'dial');
  }
  assert.equal(statusText({ state: 'offline', retryAt: 3000 }, 0, 0).text, 'No connection. Reconnecting in 3 s.');
});

test('what_waits_is_told_in_every_state_but_never_as_stored', () => {
  for (const state of ['catching up', 'connecting', 'degraded', 'offline', 'asleep', 'idle']) {
    assert.match(statusText({ state }, 2, 0).text, /2 messages wait here/, state);
  }
  assert.equal(statusText({ state: 'live' }, 1, 0).text, 'Sending 1 message…');
  assert.equal(statusText({ state: 'live' }, 0, 0).text, '');
});

test('a_person_is_asked_in_words_that_fit_what_is_known', () => {
  assert.match(waitingText({ state: 'asking', why: 'missing' }), /^Not sent/);
  assert.match(waitingText({ state: 'asking', why: 'unknowable' }), /^Perhaps sent/);
  assert.equal(waitingText({ state: 'failed', why: 'forbidden' }), REFUSALS.forbidden);
  for (const reason of ['trimmed', 'diverged', 'lost']) assert.notEqual(resetText(reason), '');
});
