/**
 * The words on the wire, as types: the objects of protocol version 1. There is nothing here at run time, so no page
 * loads this file. `docs/protocol.md` is the reference.
 * @module
 */

/**
 * A place in a room's log. Equal chains at one offset mean that everything before is equal too.
 * @typedef {{ offset: number, chain: string }} Position
 */
/** @typedef {{ id: string, name: string }} User */
/** @typedef {'message' | 'edited' | 'deleted' | 'reacted'} EntryKind */
/** @typedef {'replicated' | 'stored' | 'memory'} Durability what `sent` promises */
/**
 * One entry of a room. Whose text was withdrawn carries `text_sha` in place of `text`.
 * @typedef {object} Entry
 * @property {EntryKind} type
 * @property {string} room
 * @property {number} offset dense, from 1
 * @property {string} chain 16 hex digits
 * @property {number} at Unix milliseconds, never before the entry ahead of it
 * @property {User} user
 * @property {string} key the author's idempotency key
 * @property {string} [text] `message` and `edited`
 * @property {string} [text_sha] 40 hex digits, where the text is withheld
 * @property {boolean} [deleted] the text was withheld because the message was deleted
 * @property {boolean} [edited] the text was withheld because a later edit replaced it
 * @property {number} [target] the offset that an `edited`, `deleted` or `reacted` entry is about
 * @property {string} [emoji] `reacted`
 * @property {boolean} [on] `reacted`: set or taken back
 * @property {number} [reply_to] the offset that a `message` answers
 */
/**
 * Limits under the names that `welcome.limits` uses; characters are Unicode scalar values.
 * @typedef {Record<string, number>} Limits
 */
/**
 * @typedef {object} Welcome
 * @property {'welcome'} type
 * @property {User} user
 * @property {string} token signed; lives 30 days and is renewed by every welcome
 * @property {string} instance
 * @property {string} [revision]
 * @property {Durability} durability
 * @property {number} heartbeat_ms
 * @property {number} [rotate_after_ms]
 * @property {Limits} limits
 */
/** @typedef {'trimmed' | 'diverged' | 'lost'} ResetReason */
/**
 * @typedef {object} Joined
 * @property {'joined'} type
 * @property {string} room the canonical spelling
 * @property {Position} position of the last entry in the reply
 * @property {boolean} [recovered] only after a join with `since`
 * @property {ResetReason} [reason] why `since` could not be honoured
 * @property {Entry[]} entries
 * @property {boolean} [more] the rest of a resume follows as pushes
 * @property {number} oldest lowest offset kept; 0 for none
 * @property {number} [read] this user's read mark
 * @property {User[]} [members] absent in large rooms
 * @property {number} member_count
 */
/**
 * @typedef {object} Page
 * @property {'page'} type
 * @property {string} room
 * @property {Position} position the top of the room
 * @property {Entry[]} entries oldest first
 * @property {boolean} more older entries are kept
 * @property {number} oldest
 */
/**
 * @typedef {object} Sent
 * @property {'sent'} type
 * @property {string} room
 * @property {Position} position
 * @property {number} at
 * @property {Durability} durability
 * @property {boolean} duplicate an earlier attempt with this key had been stored
 */
/** @typedef {{ type: string, id?: number, [field: string]: any }} Message any object on the wire */

export {};
