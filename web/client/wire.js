/**
 * The wire: how the objects of protocol version 1 share a frame, and the limits that hold before the server tells its own.
 *
 * Knows no socket and no state. `docs/protocol.md` is the reference.
 * @module
 */

/** The subprotocol this client asks for. */
export const SUBPROTOCOL = 'confab.v1.json';

/** @import { Limits, Message } from './words.js' */

/** Defaults that hold until `welcome.limits` tells the server's own. */
export const DEFAULT_LIMITS = Object.freeze(/** @type {Limits} */ ({
  name_chars: 64,
  room_chars: 128,
  text_chars: 4000,
  text_bytes: 16384,
  emoji_bytes: 64,
  rooms_per_connection: 50,
  page_entries: 200,
  key_window_ms: 600_000,
}));

const KINDS = new Set(['message', 'edited', 'deleted', 'reacted']);

/**
 * Whether an object is an entry of a room.
 * @param {Message} message
 * @returns {message is Message & import('./words.js').Entry}
 */
export const isEntry = (message) => KINDS.has(message.type);

/**
 * Splits a frame into its objects.
 * @param {string} frame
 * @returns {Message[]}
 * @throws {SyntaxError} where a line is not a JSON object with a `type`
 */
export function decode(frame) {
  const out = [];
  for (const line of frame.split('\n')) {
    if (line.trim() === '') continue;
    const value = JSON.parse(line);
    if (value === null || typeof value !== 'object' || typeof value.type !== 'string') {
      throw new SyntaxError('not a message: every object on the wire has a type');
    }
    out.push(value);
  }
  return out;
}
