/**
 * The chat screen: which room is open, and how its parts hear of each other. The parts draw; the client speaks.
 * @module
 */

import { Actions } from './actions.js';
import { addressOf, readAddress, wantsProof } from './address.js';
import { Announcer } from './announcer.js';
import { Attention } from './attention.js';
import { Composer } from './composer.js';
import { ask, askLine, pickEmoji, showHelp } from './dialogs.js';
import { h, iconButton, isolated } from './dom.js';
import { findMessage } from './finder.js';
import { forgetful, recall, remember } from './memory.js';
import { Notes } from './notes.js';
import { peopleList, typingLine } from './people.js';
import { Proof } from './proof.js';
import { roomList, unreadIn } from './rooms.js';
import { StatusLine } from './statusline.js';
import { REFUSALS, STORAGE, resetText } from './texts.js';
import { nextTheme, themeName } from './theme.js';
import { Timeline } from './timeline.js';

/** @import { Durability, Entry, Item, Message, ResetReason, Room } from '../client/index.js' */
/** @import { About } from './composer.js' */

/** Lists are drawn at most once in so many milliseconds. */
const LISTS_EVERY_MS = 250;

/** @param {number} count */
const unsent = (count) => (count === 1 ? 'One of your messages is' : `${count} of your messages are`);

export class Chat {
  /** @type {import('../client/index.js').Room} */
  room;
  /** @type {Timeline} */
  timeline;
  /** @type {(() => void)[]} */
  #off = [];
  #listsTimer = 0;
  #announcer = new Announcer();
  #notes = new Notes();

  /**
   * @param {HTMLElement} root
   * @param {import('../client/index.js').Client} client
   * @param {{ signOut: (notice?: string) => void, firstRoom: string }} options
   */
  constructor(root, client, { signOut, firstRoom }) {
    this.client = client;
    this.signOut = signOut;
    this.composer = new Composer({
      limit: () => client.limits.text_chars,
      me: () => client.user?.id,
      submit: (text, about) => this.#submit(text, about),
      typing: () => this.room.typing(),
      editLast: () => this.#editLast(),
    });
    this.status = new StatusLine(client, (action) => (action === 'signin' ? signOut() : client.status.state === 'offline' ? client.nudge() : client.connect()));
    this.attention = new Attention(client, { shown: () => this.#moved() });
    this.#build(root);
    this.#off.push(
      client.on('status', () => this.timeline.outboxChanged()),
      client.on('outbox', () => this.#outboxChanged()),
      client.on('signedin', () => {
        // What waits for a room that this browser no longer remembers would wait for ever.
        for (const item of client.outbox) if (item.user === client.user?.id) this.#join(item.room);
        this.#outboxChanged();
      }),
      client.on('trouble', (error) => this.#trouble(error)),
      client.on('durability', (mode) => this.#durability(mode)),
    );
    this.stop = new AbortController();
    matchMedia('(max-width: 999px)').addEventListener('change', ({ matches }) => {
      if (matches) this.people.hidden = true;
      this.#drawLists();
    }, { signal: this.stop.signal });
    addEventListener('hashchange', () => this.#followAddress(), { signal: this.stop.signal });
    document.addEventListener('keydown', (event) => this.#key(event), { signal: this.stop.signal });
    const names = [...new Set([...recall('rooms', []), firstRoom])].filter((name) => typeof name === 'string').slice(-50);
    for (const name of names) this.#join(name);
    this.open(this.#join(firstRoom), readAddress().at);
  }

  destroy() {
    for (const off of this.#off) off();
    this.stop.abort();
    this.status.destroy();
    this.attention.destroy();
    this.proof?.destroy();
    this.timeline?.destroy();
    clearTimeout(this.#listsTimer);
  }

  /** @param {HTMLElement} root */
  #build(root) {
    this.rooms = h('ul', { class: 'room-list' });
    this.people = h('aside', { id: 'people', class: 'people-panel', 'aria-label': 'People', hidden: recall('people', true) === false || innerWidth < 1000 });
    this.title = h('h1', {});
    this.count = h('button', { type: 'button', class: 'count', 'aria-controls': 'people', onclick: () => this.#togglePeople() });
    this.place = h('div', { class: 'place' });
    this.latest = h('button', { type: 'button', class: 'latest', hidden: true, onclick: () => this.timeline.toEnd() });
    this.typing = h('p', { class: 'typing' });
    this.menu = h('div', { id: 'menu', class: 'menu', popover: 'auto', role: 'group', 'aria-label': 'Menu' });
    this.menu.addEventListener('toggle', (/** @type {ToggleEvent} */ event) => event.newState === 'open' && this.#fillMenu());
    this.nav = h('nav', { id: 'rooms', class: 'rooms-panel', 'aria-label': 'Rooms' },
      h('div', { class: 'panel-head' }, h('span', { class: 'logo', 'aria-hidden': 'true' }), h('h2', {}, 'Rooms'), iconButton('plus', 'Join another room', () => void this.#another())),
      this.rooms);
    this.shell = h('div', { class: 'shell' }, this.nav,
      h('div', { class: 'middle' },
        h('header', { class: 'bar' },
          iconButton('rooms', 'Rooms', () => this.shell.classList.toggle('rooms-open'), { class: 'icon-button only-narrow' }),
          this.title, this.status.chip, this.count, h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Menu', title: 'Menu', popoverTargetElement: this.menu }, '⋯')),
        this.menu, h('div', { class: 'over' }, this.#notes.element), this.place,
        h('div', { class: 'foot' }, this.latest, this.status.element, this.typing), this.composer.element),
      this.people);
    if (wantsProof()) {
      this.proof = new Proof(this.client, () => this.room);
      this.shell.querySelector('.middle').insertBefore(this.proof.element, this.#notes.element.parentElement);
    }
    root.replaceChildren(this.shell);
  }

  #fillMenu() {
    const item = (/** @type {string} */ text, /** @type {() => void} */ onclick) => h('button', {
      type: 'button',
      onclick: () => {
        this.menu.hidePopover();
        onclick();
      },
    }, text);
    this.menu.replaceChildren(
      h('p', { class: 'hint' }, 'Signed in as ', isolated(this.client.name)),
      item('Find a message…', () => void this.#find()),
      item('Copy the link to this room', () => void this.#copy()),
      item('Change name…', () => void this.#rename()),
      item(`Appearance: ${themeName()}`, () => nextTheme()),
      item(this.attention.notifying ? 'Turn notifications off' : 'Notify me of new messages', () => void this.#notify()),
      item('Keys and help', () => void showHelp()),
      item('Sign out…', () => void this.#leaveAll()),
    );
  }

  // --- rooms

  /** @returns {import('../client/index.js').Room} @param {string} name */
  #join(name) {
    const known = [...this.client.rooms.values()].find((room) => room.name === name.normalize('NFC').trim());
    if (known) return known;
    const room = this.client.join(name);
    room.on('entries', ({ added, how }) => how === 'live' && this.#arrived(room, added));
    room.on('entries', () => this.#listsSoon());
    room.on('read', () => this.#listsSoon());
    room.on('reset', ({ reason }) => this.#reset(room, reason));
    room.on('presence', () => room === this.room && this.#listsSoon());
    room.on('typing', () => room === this.room && this.#drawTyping());
    room.on('state', (state) => this.#roomState(room, state));
    this.#rememberRooms();
    return room;
  }

  /**
   * @param {import('../client/index.js').Room} room
   * @param {number} [at] a message to show
   */
  open(room, at) {
    this.shell.classList.remove('rooms-open');
    if (this.room !== room) {
      this.room = room;
      this.timeline?.destroy();
      this.#notes.say('reset', '');
      this.timeline = new Timeline(room, {
        me: () => this.client.user ?? { id: '', name: this.client.name },
        outbox: () => this.client.outbox,
        online: () => this.client.status.state === 'live',
        acts: {
          goTo: (/** @type {number} */ offset) => void this.#goTo(offset),
          react: (/** @type {Message} */ message, /** @type {string} */ emoji, /** @type {boolean} */ on) => this.#act(() => room.react(message.offset, emoji, on)),
          retry: (/** @type {string} */ key) => void this.client.retry(key),
          discard: (/** @type {Item} */ item) => this.#takeBack(item),
          invite: () => void this.#copy(),
        },
        // The one that is being made isn't on the screen yet, and nothing of it has been read.
        moved: (timeline) => timeline === this.timeline && this.#moved(),
        failed: (error) => this.#trouble(error),
      });
      this.place.replaceChildren(this.timeline.element);
      this.actions = new Actions(this.timeline.element, {
        message: (offset) => room.log.message(offset),
        me: () => this.client.user?.id ?? '',
        act: (what, message, emoji) => void this.#do(what, message, emoji),
      });
      if (room.readOffset > 0 && unreadIn(room, this.client.user?.id ?? '').count) this.timeline.markNewAfter(room.readOffset);
      this.timeline.toEnd();
      this.composer.open(room.name);
      remember('room', room.name);
    }
    if (readAddress().room !== room.name || at === undefined) history.replaceState(null, '', location.search + addressOf(room.name, at));
    this.title.replaceChildren(isolated(room.name));
    this.#drawLists();
    this.#drawTyping();
    this.#moved();
    if (at) void this.#goTo(at);
    else if (matchMedia('(pointer: fine)').matches) this.composer.box.focus();
  }

  #followAddress() {
    const { room, at } = readAddress();
    if (room) this.open(this.#join(room), at);
  }

  async #another() {
    const name = await askLine('Join a room', 'Room', 'Join', this.client.limits.room_chars);
    if (name) this.open(this.#join(name));
  }

  /** @param {Room} room */
  async #leave(room) {
    const waiting = this.client.outbox.filter((item) => item.room === room.name && item.user === this.client.user?.id);
    if (waiting.length && !await ask(`Leave ${room.name}?`, `${unsent(waiting.length)} not sent yet, and will be given up.`, 'Leave')) return;
    for (const { key } of waiting) this.client.discard(key);
    room.leave();
    this.#rememberRooms();
    const [next] = this.client.rooms.values();
    if (room === this.room && next) this.open(next);
    else this.#drawLists();
  }

  #rememberRooms() {
    remember('rooms', [...this.client.rooms.keys()]);
  }

  /** @param {string} state @param {Room} room */
  #roomState(room, state) {
    if (state === 'refused') {
      this.#rememberRooms();
      if (room === this.room) this.#notes.say('room', REFUSALS[room.refusedBy] ?? 'This room can’t be opened.');
      else this.#trouble(new Error(`${room.name}: ${REFUSALS[room.refusedBy]}`));
      return;
    }
    if (state === 'live') {
      this.#rememberRooms();
      if (room === this.room) {
        this.#notes.say('room', '');
        this.title.replaceChildren(isolated(room.name));
        this.timeline.redraw();
      }
    }
    this.#listsSoon();
  }

  /** @param {Room} room @param {ResetReason | 'first'} reason */
  #reset(room, reason) {
    const text = resetText(reason);
    if (room === this.room && text) this.#notes.say('reset', text, true);
    if (reason === 'first' && room.readOffset === 0 && room !== this.room) room.read(room.log.position.offset);
    this.#listsSoon();
  }

  // --- what arrives

  /** @param {Room} room @param {Entry[]} added */
  #arrived(room, added) {
    const others = added.filter((entry) => entry.type === 'message' && entry.user.id !== this.client.user?.id);
    if (others.length === 0) return;
    for (const entry of others.slice(-3)) this.attention.tell(room.name, entry, () => this.open(room));
    if (room === this.room) this.#announcer.say(others);
  }

  /** The reader moved, or something arrived: the read mark, the button to the end, the title. */
  #moved() {
    const { timeline, room } = this;
    if (!timeline) return;
    if (timeline.atEnd && !document.hidden && room.log.position.offset > room.readOffset) room.read(room.log.position.offset);
    this.latest.hidden = timeline.atEnd;
    const { unseen } = timeline;
    this.latest.textContent = unseen ? `↓ ${unseen} new` : '↓ Latest';
    this.#listsSoon();
  }

  #listsSoon() {
    this.#listsTimer ||= setTimeout(() => this.#drawLists(), LISTS_EVERY_MS);
  }

  #drawLists() {
    clearTimeout(this.#listsTimer);
    this.#listsTimer = 0;
    if (!this.room) return;
    const rooms = [...this.client.rooms.values()];
    const me = this.client.user?.id ?? '';
    const inside = this.rooms.contains(document.activeElement) ? document.activeElement?.closest('li') : undefined;
    const index = inside ? [...this.rooms.children].indexOf(inside) : -1;
    const focusClass = document.activeElement?.className;
    this.rooms.replaceChildren(...roomList({ rooms, current: this.room, me, open: (room) => this.open(room), leave: (room) => void this.#leave(room) }));
    if (index >= 0) [...(this.rooms.children[index]?.querySelectorAll('button') ?? [])].find((button) => button.className === focusClass)?.focus();
    if (!this.people.hidden) this.people.replaceChildren(...peopleList(this.room, me));
    const { memberCount } = this.room;
    this.count.textContent = memberCount ? `${memberCount} here` : '';
    this.count.hidden = !memberCount;
    this.count.setAttribute('aria-expanded', String(!this.people.hidden));
    const unread = rooms.reduce((sum, room) => sum + unreadIn(room, me).count, 0);
    this.attention.title(this.room.name, unread);
  }

  #drawTyping() {
    this.typing.replaceChildren(...typingLine(this.room.typists.filter(({ id }) => id !== this.client.user?.id)));
  }

  #togglePeople() {
    this.people.hidden = !this.people.hidden;
    remember('people', !this.people.hidden);
    this.#drawLists();
  }

  #outboxChanged() {
    this.timeline?.outboxChanged();
    const foreign = this.client.user ? this.client.outbox.filter((item) => item.user !== this.client.user?.id) : [];
    this.#notes.say('foreign', foreign.length ? 'What was written here under another sign-in can’t be sent as that person.' : '', false, ['Take the texts over', () => this.#takeOver(foreign)]);
  }

  /** Puts what somebody else wrote into the drafts of its rooms: whoever is here now may send it, or not. @param {Item[]} items */
  #takeOver(items) {
    const drafts = recall('drafts', {});
    for (const { key, room, command: { type, text = '' } } of items) {
      this.client.discard(key);
      if (type !== 'send') continue;
      if (room === this.room.name) this.composer.giveBack(text);
      else if (drafts[room]?.about) drafts[room].under = [drafts[room].under, text].filter(Boolean).join('\n');
      else drafts[room] = [drafts[room], text].filter(Boolean).join('\n');
    }
    remember('drafts', drafts);
  }

  // --- what people do

  /** Runs something that may refuse its input at once. @param {() => unknown} run */
  #act(run) {
    try {
      return run();
    } catch (error) {
      this.#trouble(error);
      return undefined;
    }
  }

  /** @param {string} text @param {About | undefined} about */
  #submit(text, about) {
    if (this.room.state === 'refused') throw new Error(REFUSALS[this.room.refusedBy]);
    try {
      if (about?.kind === 'edit') this.room.edit(about.message.offset, text);
      else this.room.send(text, about ? { replyTo: about.message.offset } : {});
    } catch (/** @type {any} */ error) {
      throw new Error(error.code === 'not_signed_in' ? 'Not signed in yet: wait for the first connection.' : REFUSALS[error.code] ?? error.message);
    }
    if (about?.kind !== 'edit') this.timeline.toEnd();
  }

  #editLast() {
    const me = this.client.user?.id;
    const last = this.room.log.messages().findLast((message) => message.user.id === me && !message.deleted);
    if (last) this.#edit(last);
  }

  /** An edit goes on from what is shown: an earlier one may still be on its way. @param {Message} message */
  #edit(message) {
    const before = this.client.outbox.findLast(({ room, command }) => room === this.room.name && command.type === 'edit' && command.target === message.offset);
    this.composer.start('edit', { ...message, text: before?.command.text ?? message.text });
  }

  /** @param {import('./actions.js').Deed} what @param {Message} message @param {string} [emoji] */
  async #do(what, message, emoji = '') {
    const { room } = this;
    if (what === 'edit') return this.#edit(message);
    if (what === 'reply') return this.composer.start(what, message);
    if (what === 'react') {
      const mine = message.reactions.get(emoji)?.some(({ id }) => id === this.client.user?.id);
      return this.#act(() => room.react(message.offset, emoji, !mine));
    }
    if (what === 'pick') {
      const picked = await pickEmoji('React with');
      return picked && this.#act(() => room.react(message.offset, picked, true));
    }
    if (what === 'delete') {
      if (await ask('Delete this message?', 'Everybody will see that a message was deleted, and nobody what it said.', 'Delete')) {
        this.#act(() => room.delete(message.offset));
      }
      return undefined;
    }
    return this.#copy(message.offset);
  }

  /** @param {number} [offset] of a message; the room itself without */
  async #copy(offset) {
    const link = new URL(addressOf(this.room.name, offset), location.origin + location.pathname).href;
    try {
      await navigator.clipboard.writeText(link);
      this.#notes.say('copied', 'The link is copied.', true);
      setTimeout(() => this.#notes.say('copied', ''), 3000);
    } catch {
      await askLine('Copy this link', 'Link', 'Done', 4096, link);
    }
  }

  async #notify() {
    const wanted = !this.attention.notifying;
    const on = await this.attention.toggle();
    this.#notes.say('notify', wanted && !on ? 'This browser doesn’t allow notifications here. You can allow them in its settings for this site.' : '', true);
  }

  async #find() {
    const offset = await findMessage(this.room);
    if (offset) await this.#goTo(offset);
  }

  /** @param {number} offset */
  async #goTo(offset) {
    try {
      if (!await this.timeline.goTo(offset)) this.#notes.say('copied', 'That message is no longer kept.', true);
    } catch (error) {
      this.#trouble(error);
    }
  }

  /** @param {Item} item */
  #takeBack(item) {
    this.client.discard(item.key);
    if (item.command.type === 'send') this.composer.giveBack(item.command.text ?? '');
  }

  async #rename() {
    const name = await askLine('Change your name', 'Your name', 'Change', this.client.limits.name_chars, this.client.name);
    if (!name) return;
    try {
      await this.client.rename(name);
    } catch (error) {
      this.#trouble(error);
    }
  }

  async #leaveAll() {
    const { length } = this.client.outbox;
    const text = length ? `${unsent(length)} not sent yet, and this sign-in, which alone can send them, is forgotten now.`
      : 'This browser forgets who you are here. Your messages stay in their rooms.';
    if (await ask('Sign out?', text, 'Sign out')) this.signOut();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
      const rooms = [...this.client.rooms.values()];
      const next = rooms[(rooms.indexOf(this.room) + (event.key === 'ArrowDown' ? 1 : -1) + rooms.length) % rooms.length];
      if (next) this.open(next);
      event.preventDefault();
    } else if ((event.key === '?' || event.key === '/') && !/** @type {Element} */ (event.target).closest('input, textarea, dialog')) {
      event.preventDefault();
      void (event.key === '?' ? showHelp() : this.#find());
    } else if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
      this.shell.classList.remove('rooms-open');
      if (!event.defaultPrevented) this.composer.box.focus();
    }
  }

  // --- notes

  /** Said until somebody has read it once. @param {Durability} mode */
  #durability(mode) {
    const text = mode === 'memory' && !recall('memory-only', false) ? 'This server keeps messages in its memory only: they are gone when it restarts.' : '';
    this.#notes.say('durability', text, false, ['OK', () => {
      remember('memory-only', true);
      this.#notes.say('durability', '');
    }]);
  }

  /** @param {any} error a `ConfabError`, or whatever else was thrown */
  #trouble(error) {
    if (error.code === 'disconnected') return; // the status line tells
    this.#notes.say(`trouble ${error.code}`, error.code === 'storage' ? STORAGE : REFUSALS[error.code] ?? error.message, true);
  }

  /** Says what the browser can't do, where that matters. */
  warnOfForgetfulness() {
    if (forgetful) this.#trouble({ code: 'storage' });
  }
}
