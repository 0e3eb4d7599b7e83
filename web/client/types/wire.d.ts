/**
 * Splits a frame into its objects.
 * @param {string} frame
 * @returns {Message[]}
 * @throws {SyntaxError} where a line is not a JSON object with a `type`
 */
export function decode(frame: string): Message[];
/**
 * The wire: the objects of protocol version 1 and how they share a frame.
 *
 * Owns the names on the wire. Knows no socket and no state. `docs/protocol.md` is the reference.
 * @module
 */
/** The subprotocol this client asks for. */
export const SUBPROTOCOL: "confab.v1.json";
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
/** Defaults that hold until `welcome.limits` tells the server's own. */
export const DEFAULT_LIMITS: Readonly<Limits>;
export function isEntry(message: Message): message is Message & Entry;
/**
 * A place in a room's log. Equal chains at one offset mean that everything before is equal too.
 */
export type Position = {
    offset: number;
    chain: string;
};
export type User = {
    id: string;
    name: string;
};
export type EntryKind = "message" | "edited" | "deleted" | "reacted";
/**
 * what `sent` promises
 */
export type Durability = "replicated" | "stored" | "memory";
/**
 * One entry of a room. Whose text was withdrawn carries `text_sha` in place of `text`.
 */
export type Entry = {
    type: EntryKind;
    room: string;
    /**
     * dense, from 1
     */
    offset: number;
    /**
     * 16 hex digits
     */
    chain: string;
    /**
     * Unix milliseconds, never before the entry ahead of it
     */
    at: number;
    user: User;
    /**
     * the author's idempotency key
     */
    key: string;
    /**
     * `message` and `edited`
     */
    text?: string | undefined;
    /**
     * 40 hex digits, where the text is withheld
     */
    text_sha?: string | undefined;
    /**
     * the text was withheld because the message was deleted
     */
    deleted?: boolean | undefined;
    /**
     * the text was withheld because a later edit replaced it
     */
    edited?: boolean | undefined;
    /**
     * the offset that an `edited`, `deleted` or `reacted` entry is about
     */
    target?: number | undefined;
    /**
     * `reacted`
     */
    emoji?: string | undefined;
    /**
     * `reacted`: set or taken back
     */
    on?: boolean | undefined;
    /**
     * the offset that a `message` answers
     */
    reply_to?: number | undefined;
};
/**
 * Limits under the names that `welcome.limits` uses; characters are Unicode scalar values.
 */
export type Limits = Record<string, number>;
export type Welcome = {
    type: "welcome";
    user: User;
    /**
     * signed; lives 30 days and is renewed by every welcome
     */
    token: string;
    instance: string;
    revision?: string | undefined;
    durability: Durability;
    heartbeat_ms: number;
    rotate_after_ms?: number | undefined;
    limits: Limits;
};
export type ResetReason = "trimmed" | "diverged" | "lost";
export type Joined = {
    type: "joined";
    /**
     * the canonical spelling
     */
    room: string;
    /**
     * of the last entry in the reply
     */
    position: Position;
    /**
     * only after a join with `since`
     */
    recovered?: boolean | undefined;
    /**
     * why `since` could not be honoured
     */
    reason?: ResetReason | undefined;
    entries: Entry[];
    /**
     * the rest of a resume follows as pushes
     */
    more?: boolean | undefined;
    /**
     * lowest offset kept; 0 for none
     */
    oldest: number;
    /**
     * this user's read mark
     */
    read?: number | undefined;
    /**
     * absent in large rooms
     */
    members?: User[] | undefined;
    member_count: number;
};
export type Page = {
    type: "page";
    room: string;
    /**
     * the top of the room
     */
    position: Position;
    /**
     * oldest first
     */
    entries: Entry[];
    /**
     * older entries are kept
     */
    more: boolean;
    oldest: number;
};
export type Sent = {
    type: "sent";
    room: string;
    position: Position;
    at: number;
    durability: Durability;
    /**
     * an earlier attempt with this key had been stored
     */
    duplicate: boolean;
};
/**
 * any object on the wire
 */
export type Message = {
    type: string;
    id?: number;
    [field: string]: any;
};
