/**
 * What was written and isn't known to be stored yet, and what may be done about it.
 *
 * Pure policy over a small store: when an item may be sent again by itself, when its key must be looked for in the
 * log first, when only the person can decide. Knows no socket. An item belongs to the user id it was written under.
 * @module
 */

import { PASSING, Refusal, UNKNOWN_OUTCOME } from './errors.js';

/** @import { Position } from './words.js' */

/** How much earlier than the server's key window this client stops to retry by itself, in milliseconds. */
export const WINDOW_MARGIN_MS = 60_000;

/**
 * @typedef {object} Command the content that the key stands for; it never changes
 * @property {'send' | 'edit' | 'delete' | 'react'} type
 * @property {string} [text]
 * @property {number} [target]
 * @property {string} [emoji]
 * @property {boolean} [on]
 * @property {number} [reply_to]
 * @property {string} [traceparent] no part of the content: the trace that the message belongs to
 */
/**
 * One thing waiting. All of it is plain JSON.
 * @typedef {object} Item
 * @property {string} key
 * @property {string} room
 * @property {string} user id of the user it was written as
 * @property {Command} command
 * @property {number} queuedAt this device's clock
 * @property {number | null} firstAt when the first attempt whose outcome may be unknown began
 * @property {Position | null} after the room's position at that time: the entry can only be behind it
 * @property {boolean} unknown an attempt may have stored it
 * @property {'waiting' | 'asking' | 'failed'} state
 * @property {string} [why] `asking`: `missing` (the log doesn't have it) or `unknowable` (the log can't tell); `failed`: the refusal's code
 */
/**
 * Keeps items over reloads. `put` must be done before the item is sent for the first time.
 * @typedef {object} Store
 * @property {() => Item[] | Promise<Item[]>} load
 * @property {(item: Item) => void | Promise<void>} put
 * @property {(key: string) => void | Promise<void>} remove
 * @property {(removed: (key: string) => void) => void} [watch] tells what another tab has removed
 */

/**
 * What may be done with an item now.
 * @param {Item} item
 * @param {number} now
 * @param {number} keyWindowMs `welcome.limits.key_window_ms`
 * @returns {'send' | 'search' | 'rest'} send it (again), look for its key in the log, or leave it to the person
 */
export function decide(item, now, keyWindowMs) {
  if (item.state !== 'waiting') return 'rest';
  if (!item.unknown || item.firstAt === null) return 'send';
  const age = now - item.firstAt;
  // A clock that was set back says nothing about the age.
  return age >= 0 && age < keyWindowMs - WINDOW_MARGIN_MS ? 'send' : 'search';
}

/**
 * An item as it is while it is being sent. It is stored so before the first byte leaves.
 * @param {Item} item
 * @param {number} now
 * @param {Position} position where the room's log ends
 * @returns {Item}
 */
export function attempted(item, now, position) {
  return item.unknown ? item : { ...item, unknown: true, firstAt: now, after: position };
}

/**
 * What an item becomes after an attempt that was not answered by `sent`.
 * @param {Item} before the item as it was ahead of the attempt
 * @param {Item} attempt what `attempted` made of it
 * @param {unknown} error
 * @returns {Item}
 */
export function afterFailure(before, attempt, error) {
  if (!(error instanceof Refusal) || UNKNOWN_OUTCOME.has(error.code)) return attempt;
  // This attempt surely stored nothing; what earlier ones did stays as unknown as it was.
  if (PASSING.has(error.code) || error.code === 'not_joined' || error.code === 'not_signed_in') return before;
  return { ...before, state: 'failed', why: error.code };
}

export class Outbox {
  /** @type {Map<string, Item>} in the order written */
  #items = new Map();

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
  }

  /**
   * Reads the store; items added meanwhile stay.
   * @param {() => void} changed called when another tab has settled an item
   */
  async load(changed) {
    this.store.watch?.((key) => {
      if (this.#items.delete(key)) changed();
    });
    const stored = await this.store.load();
    const all = [...stored, ...this.#items.values()].sort((a, b) => a.queuedAt - b.queuedAt);
    this.#items = new Map(all.map((item) => [item.key, item]));
  }

  /** Everything that waits, oldest first, of all users. */
  get items() {
    return [...this.#items.values()];
  }

  /** @param {string} key */
  get(key) {
    return this.#items.get(key);
  }

  /**
   * The item that is next in a room. Those that wait for the person hold nobody up.
   * @param {string} room
   * @param {string} user id
   * @returns {Item | undefined}
   */
  head(room, user) {
    return this.items.find((item) => item.room === room && item.user === user && item.state === 'waiting');
  }

  /** @param {Item} item */
  async put(item) {
    this.#items.set(item.key, item);
    await this.store.put(item);
  }

  /** @param {string} key */
  async remove(key) {
    this.#items.delete(key);
    await this.store.remove(key);
  }
}
