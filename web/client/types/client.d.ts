/** @import { Clock } from './clock.js' */
/** @import { SocketClass } from './link.js' */
/** @import { Command, Item, Store } from './outbox.js' */
/** @import { Durability, Joined, Limits, Message, Sent, User, Welcome } from './words.js' */
/** After so long without a failure the next back-off starts small again, in milliseconds. */
export const HEALTHY_AFTER_MS: 30000;
/** An old connection waits so long for its last answers when a new one has taken over. */
export const RETIRE_MS: 2000;
/** A probe without an answer for so long: the connection is dead. */
export const PROBE_TIMEOUT_MS: 5000;
/** A room is joined again because of a hole at most once in so many milliseconds. */
export const HEAL_EVERY_MS: 1000;
/**
 * @typedef {'idle' | 'connecting' | 'catching up' | 'live' | 'degraded' | 'offline' | 'refused' | 'asleep'} State
 */
/**
 * `offline`: no connection, the next attempt is at `retryAt` (this device's clock, in milliseconds). `refused`: the client will not dial
 * again by itself; `code` is a refusal's code or a close code. `degraded`: connected, and the server can't store.
 * @typedef {{ state: State, retryAt?: number, code?: string | number }} Status
 */
/**
 * @typedef {object} ClientEvents
 * @property {Status} status
 * @property {{ user: User, token: string }} signedin keep both: they sign this user in again
 * @property {Durability} durability
 * @property {readonly Item[]} outbox everything that waits, oldest first
 * @property {{ item: Item, reply: Sent | undefined }} sent `reply` is absent where the entry was found in the log
 * @property {Error} trouble something that nobody waits for went wrong: storage that fails, say
 */
/**
 * @typedef {object} Options
 * @property {string} url `wss://host/ws`
 * @property {string} name
 * @property {string} [token] an earlier guest token
 * @property {User} [user] who the token belongs to; lets things be written before the first connection
 * @property {SocketClass} [WebSocket] where the runtime has none of its own
 * @property {Store} [store] keeps the outbox; in memory by default
 * @property {Clock} [clock]
 */
/** @extends {Emitter<ClientEvents & Record<string, any>>} */
export class Client extends Emitter<ClientEvents & Record<string, any>> {
    /** @param {Options} options */
    constructor({ url, name, token, user, store, clock, WebSocket: Socket }: Options);
    /** @type {Map<string, Room>} by canonical name */
    rooms: Map<string, Room>;
    /** @type {User | undefined} */
    user: User | undefined;
    /** @type {string | undefined} */
    token: string | undefined;
    /** @type {Welcome | undefined} the latest */
    welcome: Welcome | undefined;
    /** @type {Durability | undefined} what an acknowledgement means now */
    durability: Durability | undefined;
    /** Counts since this client was made. */
    stats: {
        connections: number;
        resumed: number;
        healed: number;
        lateHeartbeats: number;
        roundTripMs: number;
    };
    url: string;
    name: string;
    get status(): Status;
    /** Everything that waits, of all users; oldest first. @returns {readonly Item[]} */
    get outbox(): readonly Item[];
    /** The server's limits, or their defaults before the first welcome. @returns {Limits} */
    get limits(): Limits;
    /** Starts to connect, and stays connected until `close` or `sleep`. */
    connect(): void;
    /** Gives the connection back. Rooms keep their positions; `connect` goes on from there. */
    close(): void;
    /** As `close`, with a state of its own: for a page that nobody looks at. `connect` wakes. */
    sleep(): void;
    /** Something may have changed: dial now if there is no connection, else find out whether it still works. */
    nudge(): void;
    /**
     * Measures a round trip; a connection that doesn't answer is given up.
     * @returns {Promise<number>} milliseconds
     * @throws {ConfabError}
     */
    probe(): Promise<number>;
    /**
     * Takes another name, for all of this user's connections.
     * @param {string} name
     * @throws {ConfabError} `bad_name`, `too_long`; the old name stays
     */
    rename(name: string): Promise<void>;
    /**
     * Joins a room, now and after every reconnect.
     * @param {string} name
     * @param {{ limit?: number }} [options] entries of the first page, 1–200
     * @returns {Room}
     */
    join(name: string, { limit }?: {
        limit?: number;
    }): Room;
    /**
     * Sends an item that waits for the person again, as a new message: its old key is given up.
     * @param {string} key
     * @returns {Item | undefined}
     */
    retry(key: string): Item | undefined;
    /**
     * Gives an item up. One that is being sent may still arrive.
     * @param {string} key
     */
    discard(key: string): void;
    /** Ends the connection as a fault would, without a word to the server. For trying the promises by hand. */
    cut(): void;
    /** Lets the connection go deaf and dumb, as on a path that drops every packet. For trying the promises by hand. */
    mute(): void;
    #private;
}
export type State = "idle" | "connecting" | "catching up" | "live" | "degraded" | "offline" | "refused" | "asleep";
/**
 * `offline`: no connection, the next attempt is at `retryAt` (this device's clock, in milliseconds). `refused`: the client will not dial
 * again by itself; `code` is a refusal's code or a close code. `degraded`: connected, and the server can't store.
 */
export type Status = {
    state: State;
    retryAt?: number;
    code?: string | number;
};
export type ClientEvents = {
    status: Status;
    /**
     * keep both: they sign this user in again
     */
    signedin: {
        user: User;
        token: string;
    };
    durability: Durability;
    /**
     * everything that waits, oldest first
     */
    outbox: readonly Item[];
    /**
     * `reply` is absent where the entry was found in the log
     */
    sent: {
        item: Item;
        reply: Sent | undefined;
    };
    /**
     * something that nobody waits for went wrong: storage that fails, say
     */
    trouble: Error;
};
export type Options = {
    /**
     * `wss://host/ws`
     */
    url: string;
    name: string;
    /**
     * an earlier guest token
     */
    token?: string | undefined;
    /**
     * who the token belongs to; lets things be written before the first connection
     */
    user?: User | undefined;
    /**
     * where the runtime has none of its own
     */
    WebSocket?: SocketClass | undefined;
    /**
     * keeps the outbox; in memory by default
     */
    store?: Store | undefined;
    clock?: Clock | undefined;
};
import { Emitter } from './emitter.js';
import { Room } from './room.js';
import type { User } from './words.js';
import type { Welcome } from './words.js';
import type { Durability } from './words.js';
import type { Item } from './outbox.js';
import type { Limits } from './words.js';
import type { Sent } from './words.js';
import type { SocketClass } from './link.js';
import type { Store } from './outbox.js';
import type { Clock } from './clock.js';
