/**
 * Where a message is written: a box that grows, a draft for each room, an edit or a reply in hand, a counter near
 * the limit. Knows no connection: it hands the text over and keeps it if that fails.
 * @module
 */

import { h, icon, iconButton, isolated } from './dom.js';
import { pickEmoji } from './dialogs.js';
import { plainOf } from './format.js';
import { recall, remember } from './memory.js';

/** The counter shows from this part of the limit on. */
const COUNTER_FROM = 0.8;
/** A draft is kept this long after the last key, in milliseconds, and at once when the page goes. */
const DRAFT_AFTER_MS = 300;

/** @typedef {{ kind: 'edit' | 'reply', message: Pick<import('../client/index.js').Message, 'offset' | 'text' | 'user'> }} About what is written is about this message */

export class Composer {
  /** @type {About | undefined} */
  #about;
  /** What was being written when the edit or the reply in hand began; it comes back behind it. */
  #under = '';
  #room = '';
  #timer = 0;

  /**
   * @param {object} context
   * @param {() => number} context.limit characters
   * @param {() => string | undefined} context.me user id
   * @param {(text: string, about: About | undefined) => void} context.submit throws where the text can't be sent
   * @param {() => void} context.typing
   * @param {() => void} context.editLast
   */
  constructor(context) {
    this.context = context;
    this.box = h('textarea', {
      id: 'box', rows: 1, placeholder: 'Write a message', 'aria-label': 'Message', dir: 'auto', enterKeyHint: 'send', autocomplete: 'off',
      'aria-describedby': 'counter', oninput: () => this.#changed(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.about = h('div', { class: 'about', hidden: true });
    this.counter = h('span', { id: 'counter', class: 'counter' });
    this.error = h('p', { class: 'error', role: 'alert', hidden: true });
    this.button = h('button', { class: 'send', 'aria-label': 'Send', title: 'Send' }, icon('send'));
    this.element = h('form', {
      class: 'composer',
      onsubmit: (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        this.#submit();
      },
    }, this.about, this.error, h('div', { class: 'line' }, iconButton('smile', 'Insert an emoji', () => this.#emoji()), this.box, this.counter, this.button));
    // One that was taken off the page, by a sign-out, has nothing to say any more.
    addEventListener('pagehide', () => this.element.isConnected && this.#keepDraft());
  }

  /** @param {string} room whose draft is shown from now on */
  open(room) {
    this.#keepDraft();
    this.#room = room;
    const kept = recall('drafts', {})[room] ?? '';
    const { text, about, under } = typeof kept === 'string' ? { text: kept, about: undefined, under: '' } : kept;
    // Somebody else may be here now, who can't edit what the one before wrote.
    const held = about && (about.kind === 'reply' || about.message.user.id === this.context.me());
    this.#under = held ? under : '';
    this.#setAbout(held ? about : undefined);
    this.box.value = held || !about ? text : under;
    this.#grow();
  }

  /** @param {'edit' | 'reply'} kind @param {import('../client/index.js').Message} message */
  start(kind, message) {
    if (this.#about?.kind === 'edit') this.box.value = this.#under;
    this.#under = kind === 'edit' ? this.box.value : '';
    if (kind === 'edit') this.box.value = message.text;
    this.#setAbout({ kind, message });
    this.#grow();
    this.box.focus();
    this.box.setSelectionRange(this.box.value.length, this.box.value.length);
  }

  /** Puts a text back that could not be sent, ahead of what is being written. @param {string} text */
  giveBack(text) {
    this.box.value = this.box.value.trim() ? `${text}\n${this.box.value}` : text;
    this.#changed();
    this.box.focus();
  }

  /** @param {string} text */
  insert(text) {
    this.box.setRangeText(text, this.box.selectionStart, this.box.selectionEnd, 'end');
    this.#changed();
    this.box.focus();
  }

  async #emoji() {
    const emoji = await pickEmoji('Insert an emoji');
    if (emoji) this.insert(emoji);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing) return;
    const touch = matchMedia('(pointer: coarse)').matches;
    if (event.key === 'Enter' && !event.shiftKey && !touch) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && this.#about) {
      event.preventDefault();
      this.#cancel();
    } else if (event.key === 'ArrowUp' && this.box.value === '' && !event.altKey) {
      event.preventDefault();
      this.context.editLast();
    }
  }

  #submit() {
    const text = this.box.value;
    if (text.trim() === '') return;
    try {
      this.context.submit(text, this.#about);
    } catch (error) {
      this.say(/** @type {Error} */ (error).message);
      return;
    }
    this.#putDown(this.#under);
  }

  /** @param {string} text what is wrong; nothing takes it away */
  say(text) {
    this.error.textContent = text;
    this.error.hidden = text === '';
  }

  #cancel() {
    this.#putDown(this.#about?.kind === 'edit' ? this.#under : this.box.value);
  }

  /** @param {string} text what is being written from now on, about no other message */
  #putDown(text) {
    this.#under = '';
    this.#setAbout(undefined);
    this.box.value = text;
    this.#keepDraft();
    this.#grow();
    this.box.focus();
  }

  /** @param {About | undefined} about */
  #setAbout(about) {
    this.#about = about;
    this.about.hidden = !about;
    if (!about) return this.about.replaceChildren();
    const words = about.kind === 'edit' ? ['Editing your message'] : ['Replying to ', isolated(about.message.user.name)];
    this.about.replaceChildren(h('span', {}, ...words), isolated(plainOf(about.message.text), { class: 'excerpt' }),
      iconButton('close', about.kind === 'edit' ? 'Stop editing' : 'Don’t reply', () => this.#cancel()));
  }

  #changed() {
    this.#grow();
    if (this.box.value.trim() && this.#about?.kind !== 'edit') this.context.typing();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keepDraft(), DRAFT_AFTER_MS);
  }

  #keepDraft() {
    clearTimeout(this.#timer);
    if (!this.#room) return;
    const drafts = recall('drafts', {});
    if (this.#about) {
      const { kind, message: { offset, text, user } } = this.#about;
      drafts[this.#room] = { text: this.box.value, under: this.#under, about: { kind, message: { offset, text, user } } };
    } else {
      if ((drafts[this.#room] ?? '') === this.box.value) return;
      if (this.box.value) drafts[this.#room] = this.box.value;
      else delete drafts[this.#room];
    }
    remember('drafts', drafts);
  }

  #grow() {
    this.say('');
    const { box } = this;
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
    const limit = this.context.limit();
    // Code units are never fewer than characters, and cheaper to count.
    const length = box.value.length > limit * COUNTER_FROM ? [...box.value].length : 0;
    this.counter.textContent = length > limit * COUNTER_FROM ? `${limit - length}` : '';
    this.counter.classList.toggle('over', length > limit);
    this.button.disabled = box.value.trim() === '' || length > limit;
  }
}
