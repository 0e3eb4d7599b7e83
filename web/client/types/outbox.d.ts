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
export function decide(item: Item, now: number, keyWindowMs: number): "send" | "search" | "rest";
/**
 * An item as it is while it is being sent. It is stored so before the first byte leaves.
 * @param {Item} item
 * @param {number} now
 * @param {Position} position where the room's log ends
 * @returns {Item}
 */
export function attempted(item: Item, now: number, position: Position): Item;
/**
 * What an item becomes after an attempt that was not answered by `sent`.
 * @param {Item} before the item as it was ahead of the attempt
 * @param {Item} attempt what `attempted` made of it
 * @param {unknown} error
 * @returns {Item}
 */
export function afterFailure(before: Item, attempt: Item, error: unknown): Item;
/** @import { Position } from './words.js' */
/** How much earlier than the server's key window this client stops to retry by itself, in milliseconds. */
export const WINDOW_MARGIN_MS: 60000;
export class Outbox {
    /** @param {Store} store */
    constructor(store: Store);
    store: Store;
    /**
     * Reads the store; items added meanwhile stay.
     * @param {() => void} changed called when another tab has settled an item
     */
    load(changed: () => void): Promise<void>;
    /** Everything that waits, oldest first, of all users. */
    get items(): Item[];
    /** @param {string} key */
    get(key: string): Item | undefined;
    /**
     * The item that is next in a room. Those that wait for the person hold nobody up.
     * @param {string} room
     * @param {string} user id
     * @returns {Item | undefined}
     */
    head(room: string, user: string): Item | undefined;
    /** @param {Item} item */
    put(item: Item): Promise<void>;
    /** @param {string} key */
    remove(key: string): Promise<void>;
    #private;
}
/**
 * the content that the key stands for; it never changes
 */
export type Command = {
    type: "send" | "edit" | "delete" | "react";
    text?: string | undefined;
    target?: number | undefined;
    emoji?: string | undefined;
    on?: boolean | undefined;
    reply_to?: number | undefined;
    /**
     * no part of the content: the trace that the message belongs to
     */
    traceparent?: string | undefined;
};
/**
 * One thing waiting. All of it is plain JSON.
 */
export type Item = {
    key: string;
    room: string;
    /**
     * id of the user it was written as
     */
    user: string;
    command: Command;
    /**
     * this device's clock
     */
    queuedAt: number;
    /**
     * when the first attempt whose outcome may be unknown began
     */
    firstAt: number | null;
    /**
     * the room's position at that time: the entry can only be behind it
     */
    after: Position | null;
    /**
     * an attempt may have stored it
     */
    unknown: boolean;
    state: "waiting" | "asking" | "failed";
    /**
     * `asking`: `missing` (the log doesn't have it) or `unknowable` (the log can't tell); `failed`: the refusal's code
     */
    why?: string | undefined;
};
/**
 * Keeps items over reloads. `put` must be done before the item is sent for the first time.
 */
export type Store = {
    load: () => Item[] | Promise<Item[]>;
    put: (item: Item) => void | Promise<void>;
    remove: (key: string) => void | Promise<void>;
    /**
     * tells what another tab has removed
     */
    watch?: ((removed: (key: string) => void) => void) | undefined;
};
import type { Position } from './words.js';
