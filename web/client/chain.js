/**
 * The chain: recomputes what the server computed where it gave offsets out, so that anyone can check that a log is
 * whole, also where texts were withdrawn. Uses `crypto.subtle` where it exists (secure contexts) and its own SHA-1
 * elsewhere. SHA-1 serves here as a checksum of order and content that a Redis script can compute too.
 * @module
 */

/** @import { Entry } from './words.js' */

const utf8 = new TextEncoder();
/** @param {Uint8Array} bytes */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/**
 * SHA-1 in plain JavaScript (FIPS 180-4).
 * @param {Uint8Array} message
 * @returns {Uint8Array} 20 bytes
 */
export function sha1Plain(message) {
  const padded = new Uint8Array(((message.length + 72) >> 6) << 6);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(message.length / 0x2000_0000));
  view.setUint32(padded.length - 4, (message.length << 3) >>> 0);
  const state = new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  const w = new Int32Array(80);
  /** @param {number} x @param {number} n */
  const rotate = (x, n) => (x << n) | (x >>> (32 - n));
  for (let block = 0; block < padded.length; block += 64) {
    let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
    for (let i = 0; i < 80; i += 1) {
      const word = i < 16
        ? view.getInt32(block + i * 4)
        : rotate(/** @type {number} */ (w[i - 3]) ^ /** @type {number} */ (w[i - 8])
          ^ /** @type {number} */ (w[i - 14]) ^ /** @type {number} */ (w[i - 16]), 1);
      w[i] = word;
      const [f, k] = i < 20 ? [(b & c) | (~b & d), 0x5a827999]
        : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
          : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
      const next = (rotate(a, 5) + f + e + k + word) | 0;
      [e, d, c, b, a] = [d, c, rotate(b, 30), a, next];
    }
    [a, b, c, d, e].forEach((word, i) => { state[i] = /** @type {number} */ (state[i]) + word; });
  }
  const out = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => out.setInt32(i * 4, word));
  return new Uint8Array(out.buffer);
}

/**
 * SHA-1 of a text's UTF-8 bytes.
 * @param {string} text
 * @returns {Promise<string>} 40 hex digits
 */
export async function sha1(text) {
  const bytes = utf8.encode(text);
  const subtle = globalThis.crypto?.subtle;
  return hex(subtle ? new Uint8Array(await subtle.digest('SHA-1', bytes)) : sha1Plain(bytes));
}

/**
 * The digest of an entry's content.
 * @param {Entry} entry
 * @returns {Promise<string>} 40 hex digits
 */
export async function digest(entry) {
  const textSha = entry.text_sha ?? (entry.text === undefined ? '' : await sha1(entry.text));
  return sha1([entry.type, entry.user.id, entry.user.name, entry.key, entry.target ?? '', entry.emoji ?? '',
    entry.on ?? '', entry.reply_to ?? '', textSha].join('\n'));
}

/**
 * The chain of an entry that follows `previous`.
 * @param {string} previous chain of the entry before
 * @param {Entry} entry
 * @returns {Promise<string>} 16 hex digits
 */
export async function chainAfter(previous, entry) {
  return (await sha1([previous, entry.offset, entry.at, await digest(entry)].join('\n'))).slice(0, 16);
}

/**
 * Recomputes the chain of a run of entries. The first entry's own chain is the starting point: it can only be
 * checked with the chain before it, which is known where more of the log is.
 * @param {Entry[]} entries in offset order
 * @param {string} [before] chain of the entry ahead of the first one
 * @returns {Promise<{ ok: boolean, checked: number, brokenAt?: number }>} links checked; the offset of the first bad one
 */
export async function verifyChain(entries, before) {
  let previous = before;
  let offset;
  let checked = 0;
  for (const entry of entries) {
    if (offset !== undefined && entry.offset !== offset + 1) return { ok: false, checked, brokenAt: entry.offset };
    if (previous !== undefined) {
      if (await chainAfter(previous, entry) !== entry.chain) return { ok: false, checked, brokenAt: entry.offset };
      checked += 1;
    }
    ({ chain: previous, offset } = entry);
  }
  return { ok: true, checked };
}
