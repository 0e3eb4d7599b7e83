/**
 * One room as this client sees it: its log, who is in it, who types, how far it was read.
 *
 * Takes what the connection delivers for it; asks the client to send, and to join again where an entry is missing.
 * Dials nothing itself.
 * @module
 */

import { Emitter } from './emitter.js';
import { Disconnected, InvalidInput } from './errors.js';
import { Log } from './log.js';
import { isEntry } from './wire.js';

/** @import { Clock } from './clock.js' */
/** @import { Link } from './link.js' */
/** @import { Command, Item } from './outbox.js' */
/** @import { Entry, Joined, Limits, Message, Page, Position, ResetReason, User } from './words.js' */

/** Who types is forgotten after so many milliseconds. */
export const TYPING_SHOWN_MS = 5000;
/** `typing` is sent at most once in so many milliseconds. */
export const TYPING_EVERY_MS = 3000;
/** Pages of 200 that are searched for a key at most. */
const SEARCH_PAGES = 50;

/**
 * @typedef {object} RoomEvents
 * @property {{ added: Entry[], how: 'live' | 'resumed' | 'older' }} entries
 * @property {{ reason: ResetReason | 'first' }} reset everything shown is replaced; `first`: the first page is here
 * @property {{ joined: User[], left: User[] }} presence
 * @property {void} typing
 * @property {number} read
 * @property {'joining' | 'catching up' | 'live' | 'refused' | 'left'} state
 */
/**
 * What a room needs from its client.
 * @typedef {object} Host
 * @property {Clock} clock
 * @property {() => Limits} limits
 * @property {(room: Room) => void} resync
 * @property {(room: Room, command: Command) => Item} enqueue
 * @property {(room: Room) => void} leave
 * @property {{ resumed: number }} stats
 */

/** @extends {Emitter<RoomEvents & Record<string, any>>} */
export class Room extends Emitter {
  log = new Log();
  /** @type {Map<string, User>} by id; empty where people are only counted */
  members = new Map();
  memberCount = 0;
  /** Whether `members` names everybody: large rooms are only counted. */
  listed = true;
  /** Lowest offset that the server keeps; 0 for none. */
  oldest = 0;
  /** This user's read mark, over all devices. */
  readOffset = 0;
  /** @type {RoomEvents['state']} */
  state = 'joining';
  /** The code of the refusal where `state` is `refused`. */
  refusedBy = '';
  /** @type {Link | undefined} the connection whose pushes count for this room @internal */
  link;
  #host;
  /** @type {Map<string, { user: User, timer: any }>} */
  #typing = new Map();
  #typedAt = -Infinity;
  /** @type {Promise<Entry[]> | undefined} */
  #loadingOlder;
  #seen = false;

  /**
   * @param {string} name
   * @param {Host} host
   * @param {number} pageSize entries of the first page
   */
  constructor(name, host, pageSize) {
    super();
    this.name = name;
    this.pageSize = pageSize;
    this.#host = host;
  }

  /** The position to resume from; none before the first join. @returns {Position | undefined} */
  get since() {
    return this.#seen ? this.log.position : undefined;
  }

  /** People who type now, oneself not among them. */
  get typists() {
    return [...this.#typing.values()].map(({ user }) => user);
  }

  /** Whether the server keeps entries older than those loaded. */
  get hasOlder() {
    return this.oldest > 0 && this.log.first > this.oldest;
  }

  /**
   * Writes a message. It is in the outbox when this returns.
   * @param {string} text
   * @param {{ replyTo?: number, traceparent?: string }} [options] `traceparent`: of the W3C's Trace Context, where this is a part of a trace
   * @returns {Item}
   * @throws {InvalidInput} `bad_text`, `too_long`
   */
  send(text, { replyTo, traceparent } = {}) {
    this.#checkText(text);
    return this.#host.enqueue(this, {
      type: 'send', text, ...(replyTo === undefined ? {} : { reply_to: replyTo }), ...(traceparent === undefined ? {} : { traceparent }),
    });
  }

  /**
   * @param {number} target offset of an own message
   * @param {string} text
   */
  edit(target, text) {
    this.#checkText(text);
    return this.#host.enqueue(this, { type: 'edit', target, text });
  }

  /** @param {number} target offset of an own message */
  delete(target) {
    return this.#host.enqueue(this, { type: 'delete', target });
  }

  /**
   * @param {number} target
   * @param {string} emoji
   * @param {boolean} on
   */
  react(target, emoji, on) {
    return this.#host.enqueue(this, { type: 'react', target, emoji, on });
  }

  /** Says that this user types; may be called at every key press. */
  typing() {
    const now = this.#host.clock.now();
    if (now - this.#typedAt < TYPING_EVERY_MS && now >= this.#typedAt) return;
    this.#typedAt = now;
    this.link?.post({ type: 'typing', room: this.name });
  }

  /** @param {number} offset everything up to it has been read */
  read(offset) {
    if (offset <= this.readOffset) return;
    this.readOffset = offset;
    this.link?.post({ type: 'read', room: this.name, offset });
    this.emit('read', offset);
  }

  /**
   * Loads the page before what is loaded.
   * @param {number} [limit]
   * @returns {Promise<Entry[]>} what was added; nothing where nothing older is kept
   * @throws {ConfabError} a refusal, or no connection
   */
  older(limit = 50) {
    this.#loadingOlder ??= this.#older(limit).finally(() => { this.#loadingOlder = undefined; });
    return this.#loadingOlder;
  }

  leave() {
    this.#host.leave(this);
  }

  /** @param {number} limit @returns {Promise<Entry[]>} */
  async #older(limit) {
    if (!this.hasOlder) return [];
    const log = this.log;
    const page = await this.#history(log.first, limit);
    if (log !== this.log) return [];
    this.oldest = page.oldest;
    const added = log.prepend(page.entries);
    if (added.length) this.emit('entries', { added, how: 'older' });
    return added;
  }

  /**
   * @param {number | undefined} before
   * @param {number} limit
   * @returns {Promise<Page>}
   */
  #history(before, limit) {
    if (!this.link) return Promise.reject(new Disconnected(1006, 'the room is not joined'));
    return this.link.request({ type: 'history', room: this.name, limit, ...(before ? { before } : {}) });
  }

  /** @param {string} text */
  #checkText(text) {
    const limits = this.#host.limits();
    if (text.trim() === '') throw new InvalidInput('bad_text', 'a message needs some text');
    const chars = [...text].length;
    if (chars > /** @type {number} */ (limits.text_chars) || new TextEncoder().encode(text).length > /** @type {number} */ (limits.text_bytes)) {
      throw new InvalidInput('too_long', `${chars} characters where ${limits.text_chars} are allowed`);
    }
  }

  /**
   * Looks for an own key in the log, beyond what is loaded.
   * @param {Item} item
   * @returns {Promise<'found' | 'missing' | 'unknowable'>}
   * @internal
   */
  async search(item) {
    const { after, key, user } = item;
    if (!after) return 'unknowable';
    if (this.log.find(user, key) !== undefined) return 'found';
    let { entries } = this.log;
    let before = this.log.first;
    for (let pages = 0; ; pages += 1) {
      const anchor = entries.find((entry) => entry.offset === after.offset);
      if (anchor) return anchor.chain === after.chain ? 'missing' : 'unknowable';
      if (before <= after.offset + 1) return after.offset === 0 ? 'missing' : 'unknowable';
      if (pages === SEARCH_PAGES) return 'unknowable';
      const page = await this.#history(before, 200);
      entries = page.entries;
      if (entries.some((entry) => entry.key === key && entry.user.id === user)) return 'found';
      if (!entries[0] || entries[0].offset >= before) return 'unknowable';
      before = entries[0].offset;
    }
  }

  /**
   * A join was answered on a connection: from now on its pushes count, and no other's.
   * @param {Link} link
   * @param {Joined} reply
   * @internal
   */
  joined(link, reply) {
    const first = !this.#seen;
    this.#seen = true;
    this.link = link;
    this.name = reply.room;
    this.oldest = reply.oldest;
    this.#people(reply.members, reply.member_count);
    if (reply.read !== undefined && reply.read > this.readOffset) {
      this.readOffset = reply.read;
      this.emit('read', reply.read);
    } else if (this.readOffset > (reply.read ?? 0)) {
      link.post({ type: 'read', room: this.name, offset: this.readOffset });
    }
    if (reply.recovered) {
      const { added, hole } = this.log.resume(reply.entries, reply.more === true);
      this.#host.stats.resumed += added.length;
      if (added.length) this.emit('entries', { added, how: 'resumed' });
      if (hole) this.#host.resync(this);
      if (reply.more) void this.#catchUp(link);
      else this.setState('live');
    } else {
      this.#replace(reply.entries, reply.position, first ? 'first' : reply.reason ?? 'lost');
      this.setState('live');
    }
    this.emit('presence', { joined: [], left: [] });
  }

  /**
   * @param {Link} link
   * @param {Message} message
   * @internal
   */
  push(link, message) {
    if (link !== this.link) return;
    if (isEntry(message)) {
      const { added, hole } = this.log.push(message);
      if (message.type === 'message') this.#stopped(message.user.id);
      if (added.length) this.emit('entries', { added, how: this.state === 'catching up' ? 'resumed' : 'live' });
      if (hole) this.#host.resync(this);
    } else if (message.type === 'reset') {
      this.oldest = message.oldest;
      this.#replace(message.entries, message.position, message.reason);
      this.setState('live');
    } else if (message.type === 'presence') {
      this.#presence(message);
    } else if (message.type === 'typing') {
      this.#types(message.user);
    } else if (message.type === 'read' && message.offset > this.readOffset) {
      this.readOffset = message.offset;
      this.emit('read', message.offset);
    }
  }

  /**
   * @param {RoomEvents['state']} state
   * @internal
   */
  setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  /** @param {Link} link a long resume goes on as pushes: until the top as it is now, the room is catching up */
  async #catchUp(link) {
    this.setState('catching up');
    try {
      const page = await this.#history(undefined, 1);
      if (this.link !== link) return;
      /** @type {() => void} */
      let off = () => {};
      const done = () => {
        if (this.link === link && this.log.position.offset < page.position.offset) return;
        off();
        if (this.link === link) this.setState('live');
      };
      off = this.on('entries', done);
      done();
    } catch {
      // The connection is down or the store away: the next join starts over.
    }
  }

  /**
   * @param {Entry[]} entries
   * @param {Position} position
   * @param {ResetReason | 'first'} reason
   */
  #replace(entries, position, reason) {
    this.log = new Log();
    this.log.reset(entries, position);
    this.emit('reset', { reason });
  }

  /** @param {Message} message */
  #presence({ joined = [], left = [], members, member_count: count }) {
    // Names that come or go keep a list complete; a number alone says that from now on there is none.
    const listed = this.listed && joined.length + left.length > 0;
    this.#people(members ?? (listed ? [...this.members.values(), ...joined] : undefined), count);
    for (const user of left) {
      this.members.delete(user.id);
      this.#stopped(user.id);
    }
    if (this.listed) this.memberCount = this.members.size;
    this.emit('presence', { joined, left });
  }

  /**
   * @param {User[] | undefined} members nothing where people are only counted
   * @param {number} count a list counts itself: the number that comes with one can be of another moment
   */
  #people(members, count) {
    this.listed = members !== undefined;
    this.members = new Map((members ?? []).map((user) => [user.id, user]));
    this.memberCount = this.listed ? this.members.size : count;
  }

  /** @param {User} user */
  #types(user) {
    this.#stopped(user.id, true);
    const timer = this.#host.clock.setTimeout(() => this.#stopped(user.id), TYPING_SHOWN_MS);
    this.#typing.set(user.id, { user, timer });
    this.emit('typing', undefined);
  }

  /** @param {string} id @param {boolean} [quiet] */
  #stopped(id, quiet = false) {
    const typist = this.#typing.get(id);
    if (!typist) return;
    this.#host.clock.clearTimeout(typist.timer);
    this.#typing.delete(id);
    if (!quiet) this.emit('typing', undefined);
  }
}
