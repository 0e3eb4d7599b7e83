/**
 * Dialogs: a question, the emoji to choose from, the help sheet. Each is a native modal dialog: Escape closes it and
 * the focus goes back to where it was.
 * @module
 */

import { h, iconButton } from './dom.js';

/**
 * @param {string} title
 * @param {(close: (result?: any) => void) => Node[]} fill
 * @returns {Promise<any>} what it was closed with; nothing where it was dismissed
 */
export function open(title, fill, props = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const offset = /** @type {HTMLElement | null | undefined} */ (before?.closest('[data-offset]'))?.dataset.offset;
    /** @type {any} */
    let result;
    const close = (/** @type {any} */ value) => {
      result = value;
      dialog.close();
      refocus();
    };
    // The browser gives the focus back, but not to a message that was drawn again meanwhile, by the very reaction that
    // was picked here. Nobody loses it who has gone on to something else: the close event comes later than the next key.
    const refocus = () => {
      const { activeElement } = document;
      if (activeElement !== document.body && !dialog.contains(activeElement)) return;
      const back = before?.isConnected ? before : offset && document.querySelector(`[data-offset="${offset}"]`);
      if (back instanceof HTMLElement) back.focus({ preventScroll: true });
    };
    const dialog = h('dialog', {
      'aria-label': title,
      onclose: () => {
        dialog.remove();
        refocus();
        resolve(result);
      },
      onclick: (/** @type {Event} */ event) => event.target === dialog && close(),
      ...props,
    });
    dialog.append(h('div', { class: 'dialog-body' },
      h('div', { class: 'dialog-head' }, h('h2', {}, title), iconButton('close', 'Close', () => close())), ...fill(close)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * @param {string} title
 * @param {string} text
 * @param {string} yes the label of the button that does it
 * @returns {Promise<boolean>}
 */
export const ask = async (title, text, yes) => (await open(title, (close) => [
  h('p', {}, text),
  h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'),
    h('button', { type: 'button', class: 'primary', autofocus: true, onclick: () => close(true) }, yes)),
])) === true;

/**
 * Asks for one line.
 * @param {string} title
 * @param {string} label
 * @param {string} yes
 * @param {number} maxLength
 * @param {string} [value]
 * @returns {Promise<string | undefined>}
 */
export const askLine = (title, label, yes, maxLength, value = '') => open(title, (close) => {
  const input = h('input', { id: 'line', maxLength, value, required: true, autocomplete: 'off', spellcheck: false, dir: 'auto' });
  return [h('form', {
    class: 'stack',
    onsubmit: (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      if (input.value.trim()) close(input.value.trim());
    },
  }, h('label', { htmlFor: 'line' }, label), input, h('div', { class: 'buttons' }, h('button', { class: 'primary' }, yes)))];
});

const EMOJI = ['👍', '👎', '❤️', '😂', '😮', '😢', '😡', '🎉', '🙏', '👏', '🔥', '✅', '❌', '👀', '💯', '🤔', '😀', '😅', '😉', '😍',
  '😎', '🥳', '😴', '🤯', '🙈', '👋', '💪', '🤝', '☕', '🍕', '🍰', '🚀', '⭐', '🌈', '☀️', '🌧️', '🐛', '💡', '📌', '⏰'];

/** @param {string} title @returns {Promise<string | undefined>} */
export const pickEmoji = (title) => open(title, (close) => [
  h('div', { class: 'emoji-grid' }, ...EMOJI.map((emoji) => h('button', { type: 'button', class: 'icon-button emoji', onclick: () => close(emoji) }, emoji))),
]);

const KEYS = [
  ['Enter', 'send'], ['Shift + Enter', 'new line'], ['↑', 'in an empty box: edit your last message'],
  ['Escape', 'stop editing or replying; go to the box'], ['Shift + Tab', 'from the box to the messages'],
  ['↑ ↓', 'there: from message to message'], ['R', 'reply'], ['E', 'edit your message'], ['Delete', 'delete your message'],
  ['+', 'react'], ['C', 'copy the link to a message'], ['Alt + ↑ ↓', 'another room'], ['/', 'outside the box: find a message'], ['?', 'this sheet'],
];

export const showHelp = () => open('Keys', () => [
  h('dl', { class: 'keys' }, ...KEYS.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
  h('p', { class: 'hint' }, 'In a message: **strong**, *emphasis*, ~~withdrawn~~, `code`, ```a block of code```; addresses become links.'),
]);
