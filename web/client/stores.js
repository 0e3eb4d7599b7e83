/**
 * Places for the outbox: memory, `localStorage` (IndexedDB is in `indexeddb.js`). A store that is full or blocked throws `StoreFailed`; the
 * client then goes on in memory and says so.
 * @module
 */

import { ConfabError } from './errors.js';

/** @import { Item, Store } from './outbox.js' */

/** The device keeps nothing: storage is full, or blocked. */
export class StoreFailed extends ConfabError {
  /** @param {unknown} cause */
  constructor(cause) {
    super('storage', `the outbox can't be stored: ${cause instanceof Error ? cause.message : cause}`);
  }
}

/**
 * Forgets with the process.
 * @returns {Store}
 */
export function memoryStore() {
  /** @type {Map<string, Item>} */
  const items = new Map();
  return {
    load: () => [...items.values()],
    put: (item) => void items.set(item.key, item),
    remove: (key) => void items.delete(key),
  };
}

/**
 * One record for each item, so that two tabs never overwrite each other's. It writes at once: what was written is
 * kept even if the browser ends in the same moment.
 * @param {Storage} storage usually `localStorage`
 * @param {string} [prefix] of the records' names
 * @returns {Store}
 */
export function webStore(storage, prefix = 'confab.outbox.') {
  /** @template T @param {() => T} run @returns {T} */
  const guarded = (run) => {
    try {
      return run();
    } catch (error) {
      throw new StoreFailed(error);
    }
  };
  return {
    load: () => guarded(() => Object.keys(storage).filter((name) => name.startsWith(prefix)).flatMap((name) => {
      try {
        return [/** @type {Item} */ (JSON.parse(storage.getItem(name) ?? ''))];
      } catch {
        return []; // written by something else
      }
    })),
    put: (item) => guarded(() => storage.setItem(prefix + item.key, JSON.stringify(item))),
    remove: (key) => guarded(() => storage.removeItem(prefix + key)),
    watch: (removed) => globalThis.addEventListener?.('storage', (event) => {
      if (event.key?.startsWith(prefix) && event.newValue === null) removed(event.key.slice(prefix.length));
    }),
  };
}
