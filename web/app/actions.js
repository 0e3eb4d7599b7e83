/**
 * What can be done with a message: one small toolbar that moves to the message under the pointer or the focus, and
 * the keys that do the same.
 * @module
 */

import { h, iconButton } from './dom.js';

/** Offered first; the picker has more. */
const QUICK = ['👍', '❤️', '😂', '🎉'];

export class Actions {
  /** @type {HTMLElement | undefined} */
  #row;

  /**
   * @param {HTMLElement} timeline
   * @param {object} context
   * @param {(offset: number) => import('../client/index.js').Message | undefined} context.message
   * @param {() => string} context.me user id
   * @param {(what: 'react' | 'pick' | 'reply' | 'edit' | 'delete' | 'copy', message: import('../client/index.js').Message, emoji?: string) => void} context.act
   */
  constructor(timeline, context) {
    this.context = context;
    this.timeline = timeline;
    this.element = h('div', { class: 'actions', role: 'toolbar', 'aria-label': 'Message actions' });
    timeline.addEventListener('pointerover', (event) => event.pointerType === 'mouse' && this.#moveTo(event.target.closest?.('[data-offset]')));
    timeline.addEventListener('pointerleave', () => this.#row?.contains(document.activeElement) || this.#moveTo(undefined));
    timeline.addEventListener('click', (event) => {
      if (!event.target.closest('button, a')) this.#moveTo(event.target.closest('[data-offset]'));
    });
    timeline.addEventListener('focusin', (event) => this.#moveTo(event.target.closest('[data-offset]')));
    timeline.addEventListener('keydown', (event) => this.#key(event));
  }

  #moveTo(row) {
    this.#row = row ?? undefined;
    // Also where the row was drawn again and the toolbar moved over with the focus in it.
    if (row && this.element.closest('[data-offset]') === row) return;
    const message = row && this.context.message(Number(row.dataset.offset));
    if (!message || message.deleted) return this.element.remove();
    const act = (what, emoji) => () => this.context.act(what, message, emoji);
    const mine = message.user.id === this.context.me();
    this.element.replaceChildren(
      ...QUICK.map((emoji) => h('button', { type: 'button', class: 'icon-button emoji', 'aria-label': `React with ${emoji}`, title: `React with ${emoji}`, onclick: act('react', emoji) }, emoji)),
      iconButton('smile', 'More reactions', act('pick')),
      iconButton('reply', 'Reply', act('reply')),
      ...(mine ? [iconButton('edit', 'Edit', act('edit')), iconButton('trash', 'Delete', act('delete'))] : []),
      iconButton('link', 'Copy link', act('copy')),
    );
    const bubble = row.querySelector('.bubble');
    // It stands out above its message, unless that is where the view ends.
    this.element.classList.toggle('low', bubble.getBoundingClientRect().top - this.timeline.getBoundingClientRect().top < 20);
    bubble.append(this.element);
  }

  /** Arrow keys go from message to message; letters act on the one that has the focus. */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.closest('[data-offset]');
    const rows = [...this.timeline.querySelectorAll('[data-offset]')];
    const go = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (go && (row || event.target === this.timeline)) {
      const at = rows.indexOf(row);
      const next = row ? rows[at + go] : rows.at(-1);
      if (!next) return;
      event.preventDefault();
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: 'nearest' });
      return;
    }
    const message = row && this.context.message(Number(row.dataset.offset));
    if (!message || message.deleted || event.target !== row) return;
    const mine = message.user.id === this.context.me();
    const what = { r: 'reply', '+': 'pick', c: 'copy', ...(mine ? { e: 'edit', Delete: 'delete' } : {}) }[event.key];
    if (!what) return;
    event.preventDefault();
    this.context.act(what, message);
  }
}
