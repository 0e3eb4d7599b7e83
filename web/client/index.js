/**
 * A client for confab: rooms as logs, positions kept here, every send safe to repeat.
 * @module
 */

export { Client } from './client.js';
export { Room } from './room.js';
export { Log } from './log.js';
export { chainAfter, digest, verifyChain } from './chain.js';
export { ConfabError, Disconnected, InvalidInput, Refusal } from './errors.js';
export { StoreFailed, memoryStore, webStore } from './stores.js';

/** @typedef {import('./client.js').Options} Options */
/** @typedef {import('./client.js').Status} Status */
/** @typedef {import('./client.js').State} State */
/** @typedef {import('./log.js').Message} Message */
/** @typedef {import('./outbox.js').Item} Item */
/** @typedef {import('./outbox.js').Store} Store */
/** @typedef {import('./words.js').Durability} Durability */
/** @typedef {import('./words.js').Entry} Entry */
/** @typedef {import('./words.js').Limits} Limits */
/** @typedef {import('./words.js').Position} Position */
/** @typedef {import('./words.js').ResetReason} ResetReason */
/** @typedef {import('./words.js').User} User */
