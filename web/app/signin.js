/**
 * The first screen: a name and a room.
 * @module
 */

import { h, icon } from './dom.js';

/**
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.room
 * @param {string} [options.notice] why people are here again
 * @param {{ name_chars: number, room_chars: number }} options.limits
 * @param {(name: string, room: string) => void} options.submit
 */
export function signIn({ name, room, notice, limits, submit }) {
  const nameBox = h('input', { id: 'name', value: name, required: true, maxLength: limits.name_chars, autocomplete: 'nickname', dir: 'auto', spellcheck: false });
  const roomBox = h('input', { id: 'room', value: room, required: true, maxLength: limits.room_chars, autocomplete: 'off', dir: 'auto', spellcheck: false });
  const form = h('form', {
    class: 'card stack',
    onsubmit: (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const [chosenName, chosenRoom] = [nameBox.value.trim(), roomBox.value.trim()];
      if (chosenName && chosenRoom) submit(chosenName, chosenRoom);
    },
  },
  h('h1', {}, h('span', { class: 'logo', 'aria-hidden': 'true' }), 'confab'),
  h('p', { class: 'hint' }, 'Chat in rooms. A message counts as sent when the server has stored it.'),
  notice && h('p', { class: 'error', role: 'alert' }, notice),
  h('label', { htmlFor: 'name' }, 'Your name'), nameBox,
  h('label', { htmlFor: 'room' }, 'Room'), roomBox,
  h('button', { class: 'primary' }, 'Enter', icon('send')),
  h('p', { class: 'hint' }, 'You come in as a guest: this browser keeps your sign-in for 30 days after your last visit, and anyone who knows a room’s name can read it.'));
  queueMicrotask(() => (nameBox.value ? roomBox : nameBox).focus());
  return h('div', { class: 'signin' }, form);
}
