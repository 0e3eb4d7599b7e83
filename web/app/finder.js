/**
 * Finds messages among those that are loaded. Knows nothing of the server, and says how far back it has looked.
 * @module
 */

import { open } from './dialogs.js';
import { h, isolated } from './dom.js';
import { clockTime, dayLine, plainOf, tintOf, whenIs } from './format.js';

/** @import { Message, Room } from '../client/index.js' */

/** Found messages that are listed, newest first; more are only counted. */
const LISTED = 50;

/** As words are compared: without case, accents and points. @param {string} text */
const folded = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

/**
 * The messages that hold every word, in the text or in the author's name, newest first.
 * @param {Message[]} messages oldest first
 * @param {string} words
 * @returns {Message[]} none for no words
 */
export function found(messages, words) {
  const wanted = folded(words).split(/\s+/u).filter(Boolean);
  if (wanted.length === 0) return [];
  return messages.filter((message) => {
    const text = folded(`${message.user.name} ${message.text}`);
    return !message.deleted && wanted.every((word) => text.includes(word));
  }).reverse();
}

/**
 * @param {Room} room
 * @returns {Promise<number | undefined>} the offset of the message that was chosen
 */
export const findMessage = (room) => open('Find a message', (close) => {
  const messages = room.log.messages();
  const [first] = messages;
  const results = h('ul', { class: 'found' });
  const count = h('p', { class: 'hint', role: 'status' });
  const scope = !first ? 'Nothing is loaded here yet.'
    : `Looks at the ${messages.length} messages that are loaded${room.hasOlder ? `, back to ${whenIs(first.at, Date.now())}: scroll up to load more` : ', which are all there are'}.`;
  const look = () => {
    const all = found(messages, input.value);
    count.textContent = !input.value.trim() ? scope : all.length > LISTED ? `${all.length} found; the newest ${LISTED} are shown.` : all.length ? `${all.length} found.` : `None found. ${scope}`;
    results.replaceChildren(...all.slice(0, LISTED).map((message) => h('li', {},
      h('button', { type: 'button', onclick: () => close(message.offset) },
        h('span', { class: 'title' }, isolated(message.user.name, { class: 'name', style: tintOf(message.user.id) }), h('time', {}, `${dayLine(message.at, Date.now())}, ${clockTime(message.at)}`)),
        isolated(plainOf(message.text, 200), { class: 'last' })))));
  };
  const input = h('input', { id: 'find', 'aria-label': 'Words to find', autocomplete: 'off', spellcheck: false, dir: 'auto', autofocus: true, oninput: look });
  look();
  return [h('form', {
    class: 'stack',
    onsubmit: (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      results.querySelector('button')?.focus();
    },
  }, input), count, results];
});
