/**
 * SHA-1 in plain JavaScript (FIPS 180-4).
 * @param {Uint8Array} message
 * @returns {Uint8Array} 20 bytes
 */
export function sha1Plain(message: Uint8Array): Uint8Array;
/**
 * SHA-1 of a text's UTF-8 bytes.
 * @param {string} text
 * @returns {Promise<string>} 40 hex digits
 */
export function sha1(text: string): Promise<string>;
/**
 * The digest of an entry's content.
 * @param {Entry} entry
 * @returns {Promise<string>} 40 hex digits
 */
export function digest(entry: Entry): Promise<string>;
/**
 * The chain of an entry that follows `previous`.
 * @param {string} previous chain of the entry before
 * @param {Entry} entry
 * @returns {Promise<string>} 16 hex digits
 */
export function chainAfter(previous: string, entry: Entry): Promise<string>;
/**
 * Recomputes the chain of a run of entries. The first entry's own chain is the starting point: it can only be
 * checked with the chain before it, which is known where more of the log is.
 * @param {Entry[]} entries in offset order
 * @param {string} [before] chain of the entry ahead of the first one
 * @returns {Promise<{ ok: boolean, checked: number, brokenAt?: number }>} links checked; the offset of the first bad one
 */
export function verifyChain(entries: Entry[], before?: string): Promise<{
    ok: boolean;
    checked: number;
    brokenAt?: number;
}>;
import type { Entry } from './words.js';
