/**
 * Forgets with the process.
 * @returns {Store}
 */
export function memoryStore(): Store;
/**
 * One record for each item, so that two tabs never overwrite each other's. It writes at once: what was written is
 * kept even if the browser ends in the same moment.
 * @param {Storage} storage usually `localStorage`
 * @param {string} [prefix] of the records' names
 * @returns {Store}
 */
export function webStore(storage: Storage, prefix?: string): Store;
/** @import { Item, Store } from './outbox.js' */
/** The device keeps nothing: storage is full, or blocked. */
export class StoreFailed extends ConfabError {
    /** @param {unknown} cause */
    constructor(cause: unknown);
}
import type { Store } from './outbox.js';
import { ConfabError } from './errors.js';
