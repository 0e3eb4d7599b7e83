/**
 * What can be done with a message: one small toolbar that moves to the message under the pointer or the focus, and
 * the keys that do the same.
 * @module
 */

import { h, iconButton } from './dom.js';

/** @typedef {'react' | 'pick' | 'reply' | 'edit' | 'delete' | 'copy'} Deed what can be done with a message */

/** Offered first; the picker has more. */
const QUICK = ['👍', '❤️', '😂', '🎉'];

/** @param {Event} event @returns {HTMLElement | null} the message it happened on */
const rowOf = ({ target }) => (target instanceof Element ? target.closest('[data-offset]') : null);

export class Actions {
  /** @type {HTMLElement | undefined} */
  #row;

  /**
   * @param {HTMLElement} timeline
   * @param {object} context
   * @param {(offset: number) => import('../client/index.js').Message | undefined} context.message
   * @param {() => string} context.me user id
   * @param {(what: Deed, message: import('../client/index.js').Message, emoji?: string) => void} context.act
   */
  constructor(timeline, context) {
    this.context = context;
    this.timeline = timeline;
    this.element = h('div', { class: 'actions', role: 'toolbar', 'aria-label': 'Message actions' });
    timeline.addEventListener('pointerover', (event) => event.pointerType === 'mouse' && this.#moveTo(rowOf(event)));
    timeline.addEventListener('pointerleave', () => this.#row?.contains(document.activeElement) || this.#moveTo(undefined));
    timeline.addEventListener('click', (event) => {
      if (!/** @type {Element} */ (event.target).closest('button, a')) this.#moveTo(rowOf(event));
    });
    timeline.addEventListener('focusin', (event) => this.#moveTo(rowOf(event)));
    timeline.addEventListener('keydown', (event) => this.#key(event));
  }

  /** @param {HTMLElement | null | undefined} row */
  #moveTo(row) {
    this.#row = row ?? undefined;
    // Also where the row was drawn again and the toolbar moved over with the focus in it.
    if (row && this.element.closest('[data-offset]') === row) return;
    const message = row && this.context.message(Number(row.dataset.offset));
    if (!message || message.deleted) return this.element.remove();
    const act = (/** @type {Deed} */ what, /** @type {string | undefined} */ emoji = undefined) => () => this.context.act(what, message, emoji);
    const mine = message.user.id === this.context.me();
    this.element.replaceChildren(
      ...QUICK.map((emoji) => h('button', { type: 'button', class: 'icon-button emoji', 'aria-label': `React with ${emoji}`, title: `React with ${emoji}`, onclick: act('react', emoji) }, emoji)),
      iconButton('smile', 'More reactions', act('pick')),
      iconButton('reply', 'Reply', act('reply')),
      ...(mine ? [iconButton('edit', 'Edit', act('edit')), iconButton('trash', 'Delete', act('delete'))] : []),
      iconButton('link', 'Copy link', act('copy')),
    );
    const bubble = /** @type {HTMLElement} */ (row.querySelector('.bubble'));
    // It stands out above its message, unless that is where the view ends.
    this.element.classList.toggle('low', bubble.getBoundingClientRect().top - this.timeline.getBoundingClientRect().top < 20);
    bubble.append(this.element);
  }

  /** Arrow keys go from message to message; letters act on the one that has the focus. @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = rowOf(event);
    const rows = /** @type {HTMLElement[]} */ ([...this.timeline.querySelectorAll('[data-offset]')]);
    const go = /** @type {Record<string, number>} */ ({ ArrowUp: -1, ArrowDown: 1 })[event.key] ?? 0;
    if (go && (row || event.target === this.timeline)) {
      const next = row ? rows[rows.indexOf(row) + go] : rows.at(-1);
      if (!next) return;
      event.preventDefault();
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: 'nearest' });
      return;
    }
    const message = row && this.context.message(Number(row.dataset.offset));
    if (!message || message.deleted || event.target !== row) return;
    const mine = message.user.id === this.context.me();
    const what = /** @type {Record<string, Deed>} */ ({ r: 'reply', '+': 'pick', c: 'copy', ...(mine ? { e: 'edit', Delete: 'delete' } : {}) })[event.key];
    if (!what) return;
    event.preventDefault();
    this.context.act(what, message);
  }
}
