/**
 * The rooms one is in: the last message and how much is unread.
 * @module
 */

import { h, iconButton, isolated } from './dom.js';
import { clockTime, plainOf } from './format.js';

/**
 * Messages of others behind the read mark, among those loaded.
 * @param {import('../client/index.js').Room} room
 * @param {string} me user id
 * @returns {{ count: number, more: boolean }} `more`: there are unread ones that aren't loaded
 */
export function unreadIn(room, me) {
  let count = 0;
  const { entries } = room.log;
  for (let i = entries.length - 1; i >= 0 && entries[i].offset > room.readOffset; i -= 1) {
    if (entries[i].type === 'message' && entries[i].user.id !== me && !room.log.message(entries[i].offset)?.deleted) count += 1;
  }
  return { count, more: count > 0 && room.log.first > room.readOffset + 1 && room.hasOlder };
}

/** @param {import('../client/index.js').Room} room */
function lastMessage(room) {
  const { entries } = room.log;
  for (let i = entries.length - 1; i >= 0; i -= 1) {
    const message = room.log.message(entries[i].offset);
    if (message) return message;
  }
  return undefined;
}

/**
 * @param {object} options
 * @param {import('../client/index.js').Room[]} options.rooms
 * @param {import('../client/index.js').Room} options.current
 * @param {string} options.me user id
 * @param {(room: import('../client/index.js').Room) => void} options.open
 * @param {(room: import('../client/index.js').Room) => void} options.leave
 * @returns {Node[]}
 */
export function roomList({ rooms, current, me, open, leave }) {
  return rooms.map((room) => {
    const { count, more } = room === current ? { count: 0, more: false } : unreadIn(room, me);
    const last = lastMessage(room);
    return h('li', { class: room === current ? 'current' : '' },
      h('button', { type: 'button', class: 'room', 'aria-current': room === current ? 'page' : undefined, onclick: () => open(room) },
        h('span', { class: 'title' }, isolated(room.name), last && h('time', {}, clockTime(last.at))),
        h('span', { class: 'last' }, last
          ? isolated(last.deleted ? 'Message deleted' : `${last.user.name}: ${plainOf(last.text)}`)
          : room.state === 'joining' ? 'Opening…' : 'Nothing here yet'),
        count > 0 && h('span', { class: 'badge', 'aria-label': `${count}${more ? ' or more' : ''} unread` }, `${Math.min(count, 99)}${more || count > 99 ? '+' : ''}`)),
      rooms.length > 1 && iconButton('close', `Leave ${room.name}`, () => leave(room), { class: 'icon-button leave' }));
  });
}
