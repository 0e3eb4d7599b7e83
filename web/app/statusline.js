/**
 * The one line that says what is going on. Counts down, and has the button that helps.
 * @module
 */

import { h } from './dom.js';
import { statusText } from './texts.js';

const ACTIONS = { dial: 'Try now', wake: 'Wake up', signin: 'Sign in again' };

export class StatusLine {
  #timer = 0;

  /**
   * @param {import('../client/index.js').Client} client
   * @param {(action: 'dial' | 'wake' | 'signin') => void} act
   */
  constructor(client, act) {
    this.client = client;
    this.act = act;
    this.text = h('span', {});
    this.button = h('button', { type: 'button', class: 'small', hidden: true });
    /** The same in one word, for the header. */
    this.chip = h('span', { class: 'chip', 'aria-hidden': 'true' });
    this.element = h('div', { class: 'status', role: 'status' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), this.text, this.button);
    this.off = [client.on('status', () => this.update()), client.on('outbox', () => this.update())];
    this.update();
  }

  destroy() {
    clearTimeout(this.#timer);
    for (const off of this.off) off();
  }

  update() {
    clearTimeout(this.#timer);
    const { status, outbox, user } = this.client;
    const waiting = outbox.filter((item) => item.state === 'waiting' && item.user === user?.id).length;
    const { text, tone, action } = statusText(status, waiting, Date.now());
    this.element.dataset.tone = tone;
    this.element.dataset.state = status.state;
    this.element.classList.toggle('visually-hidden', text === '');
    this.chip.textContent = status.state;
    this.chip.dataset.tone = tone;
    if (this.text.textContent !== text) this.text.textContent = text;
    this.button.hidden = !action;
    if (action) {
      this.button.textContent = ACTIONS[action];
      this.button.onclick = () => this.act(action);
    }
    if (status.state === 'offline') this.#timer = setTimeout(() => this.update(), 1000);
  }
}
