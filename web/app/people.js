/**
 * Who is here, and who types.
 * @module
 */

import { h, isolated } from './dom.js';
import { initialOf, tintOf } from './format.js';

/** Names listed at most; the rest is a number. */
const LISTED = 200;

/**
 * @param {import('../client/index.js').Room} room
 * @param {string} me user id
 * @returns {Node[]}
 */
export function peopleList(room, me) {
  const count = h('h2', {}, `${room.memberCount === 1 ? '1 person' : `${room.memberCount} people`} here`);
  if (!room.listed) return [count, h('p', { class: 'hint' }, 'In a room of this size people are counted, not listed.')];
  const members = [...room.members.values()].sort((a, b) => Number(b.id === me) - Number(a.id === me) || a.name.localeCompare(b.name));
  const names = new Map();
  for (const { name } of members) names.set(name, (names.get(name) ?? 0) + 1);
  return [count, h('ul', { class: 'people' }, ...members.slice(0, LISTED).map((user) => h('li', {},
    h('span', { class: 'avatar small', style: tintOf(user.id), 'aria-hidden': 'true' }, initialOf(user.name)),
    isolated(user.name, { title: user.name }),
    // Two people may have one name: the end of the id tells them apart.
    names.get(user.name) > 1 && h('span', { class: 'hint' }, user.id.slice(-4)),
    user.id === me && h('span', { class: 'hint' }, 'you'))))];
}

/**
 * @param {{ name: string }[]} typists
 * @returns {Node[]}
 */
export function typingLine(typists) {
  if (typists.length === 0) return [];
  if (typists.length > 3) return [document.createTextNode('Several people are typing…')];
  const names = typists.flatMap(({ name }, i) => [i === 0 ? '' : i === typists.length - 1 ? ' and ' : ', ', isolated(name)]);
  return [h('span', {}, ...names, typists.length === 1 ? ' is typing…' : ' are typing…')];
}
