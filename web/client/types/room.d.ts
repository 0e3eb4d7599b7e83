/** @import { Clock } from './clock.js' */
/** @import { Link } from './link.js' */
/** @import { Command, Item } from './outbox.js' */
/** @import { Entry, Joined, Limits, Message, Page, Position, ResetReason, User } from './words.js' */
/** Who types is forgotten after so many milliseconds. */
export const TYPING_SHOWN_MS: 5000;
/** `typing` is sent at most once in so many milliseconds. */
export const TYPING_EVERY_MS: 3000;
/**
 * @typedef {object} RoomEvents
 * @property {{ added: Entry[], how: 'live' | 'resumed' | 'older' }} entries
 * @property {{ reason: ResetReason | 'first' }} reset everything shown is replaced; `first`: the first page is here
 * @property {{ joined: User[], left: User[] }} presence
 * @property {void} typing
 * @property {number} read
 * @property {'joining' | 'catching up' | 'live' | 'refused' | 'left'} state
 */
/**
 * What a room needs from its client.
 * @typedef {object} Host
 * @property {Clock} clock
 * @property {() => Limits} limits
 * @property {(room: Room) => void} resync
 * @property {(room: Room, command: Command) => Item} enqueue
 * @property {(room: Room) => void} leave
 * @property {{ resumed: number }} stats
 */
/** @extends {Emitter<RoomEvents & Record<string, any>>} */
export class Room extends Emitter<RoomEvents & Record<string, any>> {
    /**
     * @param {string} name
     * @param {Host} host
     * @param {number} pageSize entries of the first page
     */
    constructor(name: string, host: Host, pageSize: number);
    log: Log;
    /** @type {Map<string, User>} by id; empty where people are only counted */
    members: Map<string, User>;
    memberCount: number;
    /** Whether `members` names everybody: large rooms are only counted. */
    listed: boolean;
    /** Lowest offset that the server keeps; 0 for none. */
    oldest: number;
    /** This user's read mark, over all devices. */
    readOffset: number;
    /** @type {RoomEvents['state']} */
    state: RoomEvents["state"];
    /** The code of the refusal where `state` is `refused`. */
    refusedBy: string;
    /** @type {Link | undefined} the connection whose pushes count for this room @internal */
    link: Link | undefined;
    name: string;
    pageSize: number;
    /** The position to resume from; none before the first join. @returns {Position | undefined} */
    get since(): Position | undefined;
    /** People who type now, oneself not among them. */
    get typists(): User[];
    /** Whether the server keeps entries older than those loaded. */
    get hasOlder(): boolean;
    /**
     * Writes a message. It is in the outbox when this returns.
     * @param {string} text
     * @param {{ replyTo?: number, traceparent?: string }} [options] `traceparent`: of the W3C's Trace Context, where this is a part of a trace
     * @returns {Item}
     * @throws {InvalidInput} `bad_text`, `too_long`
     */
    send(text: string, { replyTo, traceparent }?: {
        replyTo?: number;
        traceparent?: string;
    }): Item;
    /**
     * @param {number} target offset of an own message
     * @param {string} text
     */
    edit(target: number, text: string): Item;
    /** @param {number} target offset of an own message */
    delete(target: number): Item;
    /**
     * @param {number} target
     * @param {string} emoji
     * @param {boolean} on
     */
    react(target: number, emoji: string, on: boolean): Item;
    /** Says that this user types; may be called at every key press. */
    typing(): void;
    /** @param {number} offset everything up to it has been read */
    read(offset: number): void;
    /**
     * Loads the page before what is loaded.
     * @param {number} [limit]
     * @returns {Promise<Entry[]>} what was added; nothing where nothing older is kept
     * @throws {ConfabError} a refusal, or no connection
     */
    older(limit?: number): Promise<Entry[]>;
    leave(): void;
    /**
     * Looks for an own key in the log, beyond what is loaded.
     * @param {Item} item
     * @returns {Promise<'found' | 'missing' | 'unknowable'>}
     * @internal
     */
    search(item: Item): Promise<"found" | "missing" | "unknowable">;
    /**
     * A join was answered on a connection: from now on its pushes count, and no other's.
     * @param {Link} link
     * @param {Joined} reply
     * @internal
     */
    joined(link: Link, reply: Joined): void;
    /**
     * @param {Link} link
     * @param {Message} message
     * @internal
     */
    push(link: Link, message: Message): void;
    /**
     * @param {RoomEvents['state']} state
     * @internal
     */
    setState(state: RoomEvents["state"]): void;
    #private;
}
export type RoomEvents = {
    entries: {
        added: Entry[];
        how: "live" | "resumed" | "older";
    };
    /**
     * everything shown is replaced; `first`: the first page is here
     */
    reset: {
        reason: ResetReason | "first";
    };
    presence: {
        joined: User[];
        left: User[];
    };
    typing: void;
    read: number;
    state: "joining" | "catching up" | "live" | "refused" | "left";
};
/**
 * What a room needs from its client.
 */
export type Host = {
    clock: Clock;
    limits: () => Limits;
    resync: (room: Room) => void;
    enqueue: (room: Room, command: Command) => Item;
    leave: (room: Room) => void;
    stats: {
        resumed: number;
    };
};
import { Emitter } from './emitter.js';
import { Log } from './log.js';
import type { User } from './words.js';
import type { Link } from './link.js';
import type { Position } from './words.js';
import type { Item } from './outbox.js';
import type { Entry } from './words.js';
import type { Joined } from './words.js';
import type { Message } from './words.js';
import type { ResetReason } from './words.js';
import type { Clock } from './clock.js';
import type { Limits } from './words.js';
import type { Command } from './outbox.js';
