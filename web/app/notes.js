/**
 * Notes over the messages: what needs saying and isn't the state of the connection.
 * @module
 */

import { h, iconButton } from './dom.js';

export class Notes {
  #shown = new Map();
  element = h('div', { class: 'notes' });

  /**
   * Says something, once for each name; an empty text takes it away.
   * @param {string} name
   * @param {string} text
   * @param {boolean} [dismissible]
   * @param {[string, () => void]} [action]
   */
  say(name, text, dismissible = false, action) {
    this.#shown.get(name)?.remove();
    this.#shown.delete(name);
    if (!text) return;
    const note = h('p', { class: 'note', role: 'status' }, h('span', {}, text),
      action && h('button', { type: 'button', class: 'small', onclick: action[1] }, action[0]),
      dismissible && iconButton('close', 'Dismiss', () => this.say(name, '')));
    this.#shown.set(name, note);
    this.element.append(note);
  }
}
