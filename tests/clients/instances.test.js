/** Several instances over one Redis: what is said on one is heard on the other, and nothing is missed when one is killed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VERSIONS, ask, instances, member, texts, until } from './setup.js';

/** Kills of an instance, in all versions that resume. */
const ROUNDS = 20;

test('what is said on one instance is heard on the other, in one order', async (t) => {
  const [one, two] = await instances(t, 2);
  const members = [];
  for (const [index, { version, io }] of VERSIONS.entries()) members.push(await member(t, io, (index % 2 ? one : two).url, version, 'R'));
  await Promise.all(members.map(async ({ socket }, index) => {
    for (let number = 0; number < 20; number += 1) assert.deepEqual(await ask(socket, 'sendMessage', `${index}:${number}`), []);
  }));
  await until('all hear all', () => members.every(({ messages }) => messages.length === 60));
  for (const { messages } of members) assert.deepEqual(messages, members[0].messages);
  const late = await member(t, VERSIONS[2].io, one.url, 'Late', 'R');
  assert.equal(late.answer[1].messages.length, 60);
});

test(`after SIGKILL the client goes on, 5 of 5, ${ROUNDS} times`, async (t) => {
  const [one, two] = await instances(t, 2, { CONFAB__LIMITS__NEW_ROOMS_PER_MINUTE: '1000' });
  const resuming = VERSIONS.filter(({ resumes }) => resumes);
  for (let round = 0; round < ROUNDS; round += 1) {
    const { version, io } = resuming[round % resuming.length];
    const room = `round ${round}`;
    const bo = await member(t, io, two.url, 'Bo', room);
    const ada = await member(t, io, one.url, 'Ada', room);
    await until('Bo hears of Ada', () => bo.notifications.length === 1);
    // The page's own part: it says who it is on every connection but the first.
    ada.socket.io.on('reconnect', () => ada.socket.emit('updateSocketId', { user: 'Ada', room }));
    if (round % 2) {
      await ask(bo.socket, 'sendMessage', 'seen');
      await until('Ada has it', () => ada.messages.length === 1);
    }
    await one.kill();
    // Where the platform would route it.
    ada.socket.io.uri = two.url;
    ada.socket.io.engine.close();
    const missed = [1, 2, 3, 4, 5].map((number) => `missed ${number}`);
    const expected = [...(round % 2 ? ['seen'] : []), ...missed];
    for (const text of missed) assert.deepEqual(await ask(bo.socket, 'sendMessage', text), []);
    await until(`5 of 5 in round ${round} with ${version}`, () => ada.messages.length >= expected.length);
    assert.deepEqual(await ask(ada.socket, 'sendMessage', 'and on'), []);
    await until('it goes on', () => ada.messages.length > expected.length);
    assert.deepEqual(texts(ada.messages), [...expected, 'and on']);
    assert.deepEqual(ada.recovered, [false, true]);
    assert.deepEqual(bo.notifications.map(({ description }) => description), ['Ada just entered the room'], 'nobody saw it');
    ada.socket.disconnect();
    bo.socket.disconnect();
    await one.start();
  }
});
