/**
 * @param {IDBFactory} indexedDB
 * @param {string} [name] of the database
 * @returns {import('./outbox.js').Store}
 */
export function indexedDbStore(indexedDB: IDBFactory, name?: string): import("./outbox.js").Store;
