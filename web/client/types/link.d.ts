/** @import { Clock } from './clock.js' */
/** @import { Message } from './words.js' */
/** A connection that is not open by then is given up, in milliseconds. */
export const OPEN_TIMEOUT_MS: 10000;
/** A request without an answer for so long means that the connection is dead (the server answers within 1 s). */
export const REPLY_TIMEOUT_MS: 10000;
/**
 * The part of the WebSocket interface that is used here.
 * @typedef {object} Socket
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 */
/** @typedef {new (url: string, protocols?: string | string[]) => Socket} SocketClass */
/**
 * @typedef {object} LinkEvents
 * @property {(message: Message) => void} push an object without an answer's `id`
 * @property {(why: Disconnected) => void} down called once, also when the connection never opened
 */
export class Link {
    /**
     * @param {{ url: string, WebSocket: SocketClass, clock: Clock, events: LinkEvents }} options
     */
    constructor({ url, WebSocket, clock, events }: {
        url: string;
        WebSocket: SocketClass;
        clock: Clock;
        events: LinkEvents;
    });
    clock: Clock;
    events: LinkEvents;
    lastHeard: number;
    /** Heartbeats that were late by more than half a period: a measure of the path, not an error. */
    lateHeartbeats: number;
    /** While true nothing is sent or heard, as on a path that drops every packet. For trying the promises by hand. */
    muted: boolean;
    /** @readonly resolves when the connection is open; never rejects (`down` tells) */
    readonly open: Promise<void>;
    /** Whether requests can be made. */
    get up(): boolean;
    /** Requests that wait for an answer. */
    get pending(): number;
    /**
     * Starts to watch for silence: nothing heard for twice this time, and the connection is taken for dead.
     * @param {number} ms `welcome.heartbeat_ms`
     */
    heartbeat(ms: number): void;
    /**
     * Sends a command and waits for its reply.
     * @param {Message} command
     * @param {(reply: any) => void} [take] called with the reply before anything that came behind it is delivered
     * @returns {Promise<any>}
     * @throws {Refusal} the server refused it
     * @throws {Disconnected} no answer came
     */
    request(command: Message, take?: (reply: any) => void): Promise<any>;
    /**
     * Sends a command that has no reply.
     * @param {Message} command
     */
    post(command: Message): void;
    /** Closes in good order: the other side will see 1000. */
    close(): void;
    /**
     * Closes in good order as soon as nothing waits for an answer.
     * @param {number} ms at the latest
     */
    retire(ms: number): void;
    /**
     * Gives the connection up without waiting for the other side.
     * @param {string} reason
     */
    drop(reason: string): void;
    #private;
}
/**
 * The part of the WebSocket interface that is used here.
 */
export type Socket = {
    send: (data: string) => void;
    close: (code?: number, reason?: string) => void;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
};
export type SocketClass = new (url: string, protocols?: string | string[]) => Socket;
export type LinkEvents = {
    /**
     * an object without an answer's `id`
     */
    push: (message: Message) => void;
    /**
     * called once, also when the connection never opened
     */
    down: (why: Disconnected) => void;
};
import type { Clock } from './clock.js';
import type { Message } from './words.js';
import { Disconnected } from './errors.js';
