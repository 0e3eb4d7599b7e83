/**
 * The outbox in IndexedDB, for those who may not use `localStorage` (workers, say). `@confab/client/indexeddb`.
 * @module
 */

import { StoreFailed } from './stores.js';

/**
 * @param {IDBFactory} indexedDB
 * @param {string} [name] of the database
 * @returns {import('./outbox.js').Store}
 */
export function indexedDbStore(indexedDB, name = 'confab') {
  /** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
  const done = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(new StoreFailed(request.error));
  });
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening;
  const open = () => {
    opening ??= (async () => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore('outbox', { keyPath: 'key' });
      return done(request);
    })();
    return opening;
  };
  /** @param {IDBTransactionMode} mode */
  const table = async (mode) => (await open()).transaction('outbox', mode).objectStore('outbox');
  return {
    load: async () => done((await table('readonly')).getAll()),
    put: async (item) => void await done((await table('readwrite')).put(item)),
    remove: async (key) => done((await table('readwrite')).delete(key)),
  };
}
