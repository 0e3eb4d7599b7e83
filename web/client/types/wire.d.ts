/**
 * Splits a frame into its objects.
 * @param {string} frame
 * @returns {Message[]}
 * @throws {SyntaxError} where a line is not a JSON object with a `type`
 */
export function decode(frame: string): Message[];
/**
 * The wire: how the objects of protocol version 1 share a frame, and the limits that hold before the server tells its own.
 *
 * Knows no socket and no state. `docs/protocol.md` is the reference.
 * @module
 */
/** The subprotocol this client asks for. */
export const SUBPROTOCOL: "confab.v1.json";
/** @import { Limits, Message } from './words.js' */
/** Defaults that hold until `welcome.limits` tells the server's own. */
export const DEFAULT_LIMITS: Readonly<Limits>;
export function isEntry(message: Message): message is Message & import("./words.js").Entry;
import type { Message } from './words.js';
import type { Limits } from './words.js';
