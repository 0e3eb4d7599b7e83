/**
 * What is loaded of one room: a contiguous run of entries up to the top, and the messages they amount to.
 *
 * Pure: no socket, no clock. Takes entries in any order they may arrive in, keeps each offset once, says where one is
 * missing. The state of a message is computed from the entries behind it, which are always loaded with it.
 * @module
 */

/** @import { Entry, Position, User } from './words.js' */

/**
 * A message as it stands now.
 * @typedef {object} Message
 * @property {number} offset
 * @property {number} at
 * @property {User} user
 * @property {string} key
 * @property {string} text empty where deleted
 * @property {number | undefined} replyTo
 * @property {boolean} edited
 * @property {boolean} deleted
 * @property {Map<string, User[]>} reactions emoji to the people who set it, in the order they did
 */

/** Entries beyond a hole that are held back while the hole is being filled. */
const AHEAD_ENTRIES = 1000;

export class Log {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Position} */
  #position = { offset: 0, chain: '' };
  /** @type {Map<number, Entry>} */
  #ahead = new Map();
  /** @type {Map<number, Message>} */
  #messages = new Map();
  /** @type {Map<number, Entry[]>} entries about a message, by its offset, in offset order */
  #about = new Map();
  /** @type {Map<string, number>} user id and key, to the offset */
  #keys = new Map();

  /** The entries loaded, oldest first. Do not change it. */
  get entries() {
    return this.#entries;
  }

  /** Where the log ends for this client. */
  get position() {
    return this.#position;
  }

  /** The lowest loaded offset, or the one that would come next in an empty log. */
  get first() {
    return this.#entries[0]?.offset ?? this.#position.offset + 1;
  }

  /**
   * Takes a push.
   * @param {Entry} entry
   * @returns {{ added: Entry[], hole: boolean }} what became visible, and whether something before it is missing
   */
  push(entry) {
    if (entry.offset <= this.#position.offset) return { added: [], hole: false };
    if (entry.offset > this.#position.offset + 1) {
      if (this.#ahead.size < AHEAD_ENTRIES) this.#ahead.set(entry.offset, entry);
      return { added: [], hole: true };
    }
    return { added: this.#follow([entry]), hole: false };
  }

  /**
   * Takes the entries of a resume that was honoured: they follow a position that this log has been at.
   * @param {Entry[]} entries
   * @param {boolean} more the rest comes as pushes, in order: what is missing yet is no hole
   * @returns {{ added: Entry[], hole: boolean }}
   */
  resume(entries, more) {
    const fresh = entries.filter((entry) => entry.offset > this.#position.offset);
    if (fresh[0] && fresh[0].offset !== this.#position.offset + 1) return { added: [], hole: true };
    const added = this.#follow(fresh);
    return { added, hole: !more && this.#ahead.size > 0 };
  }

  /**
   * Drops everything and starts from a newest page.
   * @param {Entry[]} entries
   * @param {Position} position
   */
  reset(entries, position) {
    this.#entries = [];
    for (const map of [this.#ahead, this.#messages, this.#about, this.#keys]) map.clear();
    const before = entries[0] ? entries[0].offset - 1 : position.offset;
    this.#position = { offset: before, chain: entries[0] ? '' : position.chain };
    this.#follow(entries);
  }

  /**
   * Puts an older page in front.
   * @param {Entry[]} entries
   * @returns {Entry[]} what was added: nothing where the page doesn't reach what is loaded
   */
  prepend(entries) {
    const older = entries.filter((entry) => entry.offset < this.first);
    if (older.at(-1)?.offset !== this.first - 1) return [];
    this.#entries = older.concat(this.#entries);
    for (const entry of older) this.#index(entry);
    const targets = new Set(older.map((entry) => entry.target ?? entry.offset));
    for (const target of targets) {
      this.#about.get(target)?.sort((a, b) => a.offset - b.offset);
      this.#fold(target);
    }
    return older;
  }

  /**
   * Forgets the oldest entries; `prepend` brings them back.
   * @param {number} keep
   * @returns {number} how many were forgotten
   */
  trim(keep) {
    const dropped = this.#entries.splice(0, Math.max(0, this.#entries.length - keep));
    for (const entry of dropped) {
      this.#messages.delete(entry.offset);
      this.#keys.delete(`${entry.user.id} ${entry.key}`);
      if (entry.target === undefined) continue;
      const rest = this.#about.get(entry.target)?.filter((other) => other !== entry) ?? [];
      if (rest.length) this.#about.set(entry.target, rest);
      else this.#about.delete(entry.target);
    }
    return dropped.length;
  }

  /**
   * @param {number} offset
   * @returns {Message | undefined}
   */
  message(offset) {
    return this.#messages.get(offset);
  }

  /** The messages loaded, oldest first. */
  messages() {
    return this.#entries.flatMap((entry) => this.#messages.get(entry.offset) ?? []);
  }

  /**
   * The offset of an entry by its author and key.
   * @param {string} user id
   * @param {string} key
   * @returns {number | undefined}
   */
  find(user, key) {
    return this.#keys.get(`${user} ${key}`);
  }

  /** @param {Entry[]} entries that follow; then whatever was held back and now follows too */
  #follow(entries) {
    const added = [];
    for (let entry = entries[0], i = 1; entry; entry = entries[i] ?? this.#ahead.get(entry.offset + 1), i += 1) {
      this.#position = { offset: entry.offset, chain: entry.chain };
      this.#entries.push(entry);
      this.#index(entry);
      this.#fold(entry.target ?? entry.offset);
      added.push(entry);
    }
    for (const offset of this.#ahead.keys()) if (offset <= this.#position.offset) this.#ahead.delete(offset);
    return added;
  }

  /** @param {Entry} entry */
  #index(entry) {
    this.#keys.set(`${entry.user.id} ${entry.key}`, entry.offset);
    if (entry.target === undefined) {
      this.#messages.set(entry.offset, {
        offset: entry.offset, at: entry.at, user: entry.user, key: entry.key, text: entry.text ?? '',
        replyTo: entry.reply_to, edited: false, deleted: false, reactions: new Map(),
      });
    } else {
      this.#about.set(entry.target, [...(this.#about.get(entry.target) ?? []), entry]);
    }
  }

  /** @param {number} target recomputes one message from the entries about it */
  #fold(target) {
    const message = this.#messages.get(target);
    const about = this.#about.get(target);
    if (!message || !about) return;
    message.reactions = new Map();
    for (const entry of about) {
      if (entry.type === 'edited') {
        message.edited = true;
        message.text = entry.text ?? message.text;
      } else if (entry.type === 'deleted') {
        message.deleted = true;
      } else if (entry.type === 'reacted' && entry.emoji !== undefined) {
        const others = (message.reactions.get(entry.emoji) ?? []).filter((user) => user.id !== entry.user.id);
        if (entry.on) others.push(entry.user);
        if (others.length) message.reactions.set(entry.emoji, others);
        else message.reactions.delete(entry.emoji);
      }
    }
    if (message.deleted) Object.assign(message, { text: '', reactions: new Map() });
  }
}
