/**
 * The messages of a room: a window of rows over what is loaded, so that ten thousand messages cost as much as two
 * hundred. Keeps the reader's place while rows come and go above; follows the end only while the reader is there.
 * @module
 */

import { h } from './dom.js';
import { dayLine, dayOf, whenIs } from './format.js';
import { messageRow, pendingRow } from './message.js';

/** @import { Entry, Item, Room } from '../client/index.js' */

/** Rows in the document at most. */
export const WINDOW_ROWS = 240;
/** Rows added at a time at either end, and the size of an older page. */
const STEP_ROWS = 60;
/** Messages of one author within so many milliseconds share one head. */
const GROUP_MS = 5 * 60_000;
/** So close to an end, in pixels, the next rows are fetched. */
const NEAR_PX = 600;
/** So close to the end, in pixels, the reader is at the end. */
const END_PX = 48;
/** Entries that stay loaded while the reader is at the end; older ones come back from the server. */
const KEEP_ENTRIES = 3000;

export class Timeline {
  /** Messages that arrived below the window or the view since the reader left the end. */
  unseen = 0;
  /** @type {import('../client/index.js').Message[]} */
  #messages = [];
  #from = 0;
  #to = 0;
  #following = true;
  #loading = false;
  #frame = 0;
  /** @type {Set<number> | 'all'} offsets to draw again */
  #dirty = new Set();
  #newFrom = Infinity;
  /** @type {Map<string, Item>} this room's part of the outbox, as it was drawn */
  #outbox = new Map();
  /** @type {(() => void)[]} */
  #off = [];

  /**
   * @param {Room} room
   * @param {object} context
   * @param {() => { id: string, name: string }} context.me
   * @param {() => readonly Item[]} context.outbox
   * @param {() => boolean} context.online
   * @param {import('./message.js').Acts} context.acts what people may do with a message
   * @param {(timeline: Timeline) => void} context.moved the reader moved, or something arrived
   * @param {(error: unknown) => void} context.failed
   */
  constructor(room, context) {
    this.room = room;
    this.context = context;
    this.rows = h('ol', { class: 'rows' });
    this.pending = h('ol', { class: 'rows waiting', 'aria-label': 'Waiting to be sent' });
    this.top = h('p', { class: 'edge' });
    this.element = h('div', { class: 'timeline', role: 'log', 'aria-live': 'off', 'aria-label': 'Messages', tabindex: 0, onscroll: () => this.#scrolled() },
      h('div', { class: 'filler' }), this.top, this.rows, this.pending);
    this.#off.push(
      room.on('entries', ({ added, how }) => this.#arrived(added, how)),
      room.on('reset', () => this.#restart()),
    );
    this.sizes = new ResizeObserver(() => {
      if (this.#following) this.toEnd();
    });
    this.sizes.observe(this.element);
    this.#restart();
  }

  destroy() {
    for (const off of this.#off) off();
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
    this.element.remove();
  }

  /** Whether the reader sees the newest message. */
  get atEnd() {
    return this.#following;
  }

  /** Marks everything after this offset as new, for the line above it. @param {number} offset */
  markNewAfter(offset) {
    this.#newFrom = offset + 1;
    this.redraw();
  }

  /** Shows the newest messages. */
  toEnd() {
    this.#following = true;
    this.unseen = 0;
    if (this.#to < this.#messages.length) this.#show(this.#messages.length - WINDOW_ROWS / 2, this.#messages.length);
    this.element.scrollTop = this.element.scrollHeight;
    this.context.moved(this);
  }

  /**
   * Shows one message, as soon as the room is there, loading older pages until the message is.
   * @param {number} offset
   * @returns {Promise<boolean>} whether it could be shown
   */
  async goTo(offset) {
    if (!this.room.since) await new Promise((resolve) => { this.#off.push(this.room.on('reset', resolve)); });
    while (this.room.log.first > offset && this.room.hasOlder) {
      if ((await this.room.older(200)).length === 0) break;
    }
    this.#sync();
    const index = this.#messages.findIndex((message) => message.offset === offset);
    if (index < 0) return false;
    this.#following = false;
    if (index < this.#from || index >= this.#to) this.#show(index - WINDOW_ROWS / 2, index + WINDOW_ROWS / 2);
    const row = this.#row(offset);
    row?.scrollIntoView({ block: 'center' });
    row?.focus({ preventScroll: true });
    row?.classList.add('flash');
    setTimeout(() => row?.classList.remove('flash'), 2000);
    return true;
  }

  /** The outbox changed: draws the messages again that it says something else about now. */
  outboxChanged() {
    const now = new Map(this.context.outbox().filter((item) => item.room === this.room.name).map((item) => [item.key, item]));
    for (const item of new Set([...now.values(), ...this.#outbox.values()])) {
      if (now.get(item.key) === this.#outbox.get(item.key)) continue;
      const offset = item.command.target ?? this.room.log.find(item.user, item.key);
      if (this.#dirty !== 'all' && offset !== undefined) this.#dirty.add(offset);
    }
    this.#outbox = now;
    this.#schedule();
  }

  /** Draws everything that is in the window again, in the next frame. */
  redraw() {
    this.#dirty = 'all';
    this.#schedule();
  }

  /** @param {number} offset @returns {HTMLElement | null} */
  #row(offset) {
    return this.rows.querySelector(`[data-offset="${offset}"]`);
  }

  #restart() {
    this.#messages = this.room.log.messages();
    this.#following = true;
    this.unseen = 0;
    this.#show(this.#messages.length - WINDOW_ROWS / 2, this.#messages.length);
    this.toEnd();
    // A first page that is shorter than the view can't be scrolled: more is fetched until it can.
    requestAnimationFrame(() => this.#scrolled());
  }

  /** Reads the log again; the window stays on the same messages. */
  #sync() {
    const first = this.#messages[this.#from]?.offset;
    this.#messages = this.room.log.messages();
    if (first === undefined) return;
    const shift = Math.max(0, this.#messages.findIndex((message) => message.offset >= first)) - this.#from;
    this.#from += shift;
    this.#to += shift;
  }

  /** @param {Entry[]} added @param {'live' | 'resumed' | 'older'} how */
  #arrived(added, how) {
    if (how === 'older') return; // whoever asked for the page draws it
    if (this.#dirty !== 'all') for (const entry of added) this.#dirty.add(entry.target ?? entry.offset);
    const me = this.context.me().id;
    if (added.some((entry) => entry.type === 'message' && entry.user.id === me && how === 'live')) this.#following = true;
    if (!this.#following) this.unseen += added.filter((entry) => entry.type === 'message' && entry.user.id !== me).length;
    this.#schedule();
  }

  #schedule() {
    if (this.#frame) return;
    // Frames don't come in a hidden page; a timer does.
    const run = () => {
      this.#frame = 0;
      this.#draw();
    };
    this.#frame = document.hidden ? setTimeout(run, 200) : requestAnimationFrame(run);
  }

  /** Brings the window up to date with the log. */
  #draw() {
    this.#sync();
    if (this.#dirty === 'all') {
      this.#show(this.#from, this.#following ? this.#messages.length : this.#to);
    } else {
      if (this.#dirty.size) {
        // A message is drawn again where it changed, and where it is quoted.
        for (let index = this.#from; index < Math.min(this.#to, this.#messages.length); index += 1) {
          const { offset, replyTo } = this.#messages[index];
          if (this.#dirty.has(offset) || this.#dirty.has(replyTo ?? 0)) this.#swap(offset, index);
        }
      }
      if (this.#following || this.#to - this.#from < WINDOW_ROWS / 2) this.#append();
    }
    this.#dirty = new Set();
    this.#drawPending();
    this.#drawTop();
    if (this.#following) {
      if (this.room.log.entries.length > KEEP_ENTRIES * 1.5) this.#forget();
      this.element.scrollTop = this.element.scrollHeight;
    }
    this.context.moved(this);
  }

  /** Draws one row again; the focus and the row's actions move over. @param {number} offset @param {number} index */
  #swap(offset, index) {
    const old = this.#row(offset);
    if (!old) return;
    const row = this.#draw1(index);
    const focused = old.contains(document.activeElement) ? document.activeElement : undefined;
    const actions = old.querySelector('.actions');
    old.replaceWith(row);
    if (actions && !this.#messages[index].deleted) row.querySelector('.bubble').append(actions);
    if (focused) (row.contains(focused) ? focused : row).focus({ preventScroll: true });
  }

  #append() {
    if (this.#messages.length - this.#to > WINDOW_ROWS) return this.#show(this.#messages.length - WINDOW_ROWS / 2, this.#messages.length);
    for (let index = this.#to; index < this.#messages.length; index += 1) this.rows.append(this.#draw1(index));
    this.#to = this.#messages.length;
    while (this.#to - this.#from > WINDOW_ROWS) {
      this.rows.firstElementChild.remove();
      this.#from += 1;
    }
    return undefined;
  }

  #forget() {
    this.room.log.trim(KEEP_ENTRIES);
    this.#sync();
  }

  /** Makes the window these messages, with whoever has the focus keeping it. @param {number} from @param {number} to */
  #show(from, to) {
    this.#from = Math.max(0, Math.floor(from));
    this.#to = Math.min(this.#messages.length, Math.max(Math.floor(to), this.#from));
    if (this.#to - this.#from > WINDOW_ROWS) this.#from = this.#to - WINDOW_ROWS;
    const focused = this.rows.contains(document.activeElement) && /** @type {HTMLElement | null | undefined} */ (document.activeElement?.closest('[data-offset]'))?.dataset.offset;
    /** @type {HTMLElement[]} */
    const rows = [];
    for (let index = this.#from; index < this.#to; index += 1) rows.push(this.#draw1(index));
    this.#keepingPlace(() => this.rows.replaceChildren(...rows));
    if (focused) this.#row(Number(focused))?.focus({ preventScroll: true });
    this.#drawPending();
    this.#drawTop();
  }

  /** @param {number} index */
  #draw1(index) {
    const message = this.#messages[index];
    const before = this.#messages[index - 1];
    const { me, outbox, acts } = this.context;
    const newDay = !before || dayOf(before.at) !== dayOf(message.at);
    const firstNew = message.offset >= this.#newFrom && (!before || before.offset < this.#newFrom);
    const waiting = outbox().filter((item) => item.room === this.room.name
      && (item.command.target === message.offset || (item.key === message.key && item.user === message.user.id)));
    return messageRow({
      message,
      grouped: !newDay && !firstNew && before?.user.id === message.user.id && before.user.name === message.user.name
        && message.at - before.at < GROUP_MS && message.replyTo === undefined,
      day: newDay ? dayLine(message.at, Date.now()) : undefined,
      firstNew,
      me: me().id,
      waiting,
      quoted: message.replyTo === undefined ? undefined : this.room.log.message(message.replyTo),
      acts,
    });
  }

  #drawPending() {
    const { me, outbox, acts, online } = this.context;
    const { id, name } = me();
    const items = outbox().filter((item) => item.room === this.room.name && item.user === id
      && (item.state !== 'waiting' || item.command.type === 'send') && this.room.log.find(item.user, item.key) === undefined);
    this.pending.replaceChildren(...items.map((item) => pendingRow(item, name, online(), this.room.log.message(item.command.reply_to ?? 0), acts)));
    this.pending.hidden = items.length === 0;
  }

  #drawTop() {
    const { room } = this;
    const empty = room.since !== undefined && room.log.entries.length === 0 && this.pending.hidden;
    this.element.classList.toggle('empty', empty);
    if (empty) {
      this.top.replaceChildren(h('strong', {}, 'Nothing here yet.'), ' Say hello, or ask somebody in.', h('br'),
        h('button', { type: 'button', onclick: () => this.context.acts.invite() }, 'Copy the link to this room'));
      return;
    }
    this.top.textContent = this.#from > 0 || room.hasOlder ? (this.#loading ? 'Loading older messages…' : '')
      : !room.since ? ''
        : room.oldest > 1 ? `Messages before ${whenIs(room.log.entries[0]?.at ?? Date.now(), Date.now())} are no longer kept.`
          : 'This is where the room begins.';
  }

  /** Runs a change of rows above the reader so that what is read stays where it is. @param {() => void} change */
  #keepingPlace(change) {
    const { element } = this;
    const line = element.getBoundingClientRect().top;
    const anchor = [...this.rows.children].find((row) => row.getBoundingClientRect().bottom > line);
    // Its lower edge: the upper one moves where the row loses its day line or its head.
    const at = anchor?.getBoundingClientRect().bottom;
    change();
    const again = anchor && this.#row(Number(anchor.dataset.offset));
    if (again && !this.#following) element.scrollTop += again.getBoundingClientRect().bottom - at;
  }

  #scrolled() {
    const { element } = this;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    const atEnd = below <= END_PX && this.#to === this.#messages.length;
    if (atEnd !== this.#following) {
      this.#following = atEnd;
      if (atEnd) this.unseen = 0;
      this.context.moved(this);
    }
    if (element.scrollTop < NEAR_PX) void this.#older();
    else if (below < NEAR_PX && this.#to < this.#messages.length) this.#newer();
  }

  async #older() {
    if (this.#loading || (this.#from === 0 && !this.room.hasOlder)) return;
    this.#loading = true;
    this.#drawTop();
    try {
      if (this.#from < STEP_ROWS && this.room.hasOlder) await this.room.older(STEP_ROWS);
      this.#prepend();
    } catch (error) {
      this.context.failed(error);
    } finally {
      this.#loading = false;
      this.#drawTop();
    }
    // Still at the top: the page was short, or all of it was about other messages.
    if (this.element.scrollTop < NEAR_PX && (this.#from > 0 || this.room.hasOlder)) requestAnimationFrame(() => this.#scrolled());
  }

  #prepend() {
    this.#sync();
    const { [this.#from]: first } = this.#messages;
    const from = Math.max(0, this.#from - STEP_ROWS);
    this.#keepingPlace(() => {
      const rows = [];
      for (let index = from; index < this.#from; index += 1) rows.push(this.#draw1(index));
      this.rows.prepend(...rows);
      // The row that was first may have lost its head or its day line.
      if (rows.length && first) this.#swap(first.offset, this.#from);
      this.#from = from;
      while (this.#to - this.#from > WINDOW_ROWS && !this.#following) {
        this.rows.lastElementChild.remove();
        this.#to -= 1;
      }
    });
    if (this.#following) this.element.scrollTop = this.element.scrollHeight;
  }

  #newer() {
    const to = Math.min(this.#messages.length, this.#to + STEP_ROWS);
    this.#keepingPlace(() => {
      for (let index = this.#to; index < to; index += 1) this.rows.append(this.#draw1(index));
      this.#to = to;
      while (this.#to - this.#from > WINDOW_ROWS) {
        this.rows.firstElementChild.remove();
        this.#from += 1;
      }
    });
  }
}
