/**
 * From values to what people read: times, days, names, and a text's parts (links, code, plain). Pure.
 * @module
 */

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayName = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayNameOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** @param {number} at */
export const clockTime = (at) => time.format(at);
/** @param {number} at */
export const fullTime = (at) => full.format(at);
/** @param {number} at @returns {string} the same for all times of a local day */
export const dayOf = (at) => new Date(at).toDateString();

/**
 * @param {number} at
 * @param {number} now
 */
export function dayLine(at, now) {
  if (dayOf(at) === dayOf(now)) return 'Today';
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  if (dayOf(at) === yesterday.toDateString()) return 'Yesterday';
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? dayName.format(at) : dayNameOfYear.format(at);
}

/**
 * A moment within a sentence: the time if it is today, else the day, and yesterday both.
 * @param {number} at
 * @param {number} now
 */
export function whenIs(at, now) {
  const day = dayLine(at, now);
  return day === 'Today' ? clockTime(at) : day === 'Yesterday' ? `yesterday, ${clockTime(at)},` : day;
}

/**
 * A user's hue, the same everywhere, as a declaration for the style of what is tinted.
 * @param {string} id
 */
export function tintOf(id) {
  let sum = 0;
  for (const char of id) sum = (Math.imul(sum, 31) + Number(char.codePointAt(0))) >>> 0;
  return `--hue:${(sum % 72) * 5}`;
}

/** The first letter that people see in a name. @param {string} name */
export const initialOf = (name) => {
  const [first] = new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(name.trim());
  return (first?.segment ?? '?').toUpperCase();
};

/**
 * A link that may be followed: http, https or mailto, and nothing else.
 * @param {string} text
 * @returns {string | undefined} the address
 */
export function safeLink(text) {
  try {
    const url = new URL(text);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** Signs at the end of an address that belong to the sentence around it. */
const TRAILING = /[.,;:!?'"’”»)\]}>…*~]+$/u;

/** **Strong**, *emphasised*, _emphasised_, ~~withdrawn~~: only around words, so that 2*3*4, __proto__ and snake_case stay as they are. */
const MARKS = /(?<![\p{L}\p{N}*_~])(\*\*|~~|\*|_)(?=[^\s*_~])([^\n]+?)(?<=[^\s*_~])\1(?![\p{L}\p{N}*_~])/gu;
/** @type {Record<string, 'strong' | 's' | 'em'>} */
const KINDS = { '**': 'strong', '~~': 's', '*': 'em', _: 'em' };

/**
 * A part of a text: plain, a link, code in the line or in a block, or marked words that hold parts themselves.
 * @typedef {{ kind: 'text' | 'code' | 'block', text: string } | { kind: 'link', text: string, href: string }
 *   | { kind: 'strong' | 's' | 'em', parts: Part[] }} Part
 */

/** @param {string} text @returns {Part[]} */
function marked(text) {
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (const { 0: found, 1: mark, 2: inner, index } of text.matchAll(MARKS)) {
    if (index > from) parts.push({ kind: 'text', text: text.slice(from, index) });
    parts.push({ kind: KINDS[mark], parts: marked(inner) });
    from = index + found.length;
  }
  if (from < text.length) parts.push({ kind: 'text', text: text.slice(from) });
  return parts;
}

/** @param {string} text @returns {Part[]} */
function linked(text) {
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(/\bhttps?:\/\/[^\s<>"`]+/giu)) {
    let address = found.replace(TRAILING, '');
    // A closing bracket belongs to the address if it was opened in it.
    while (found[address.length] === ')' && address.split('(').length > address.split(')').length) address += ')';
    const href = safeLink(address);
    if (!href) continue;
    if (index > from) parts.push(...marked(text.slice(from, index)));
    parts.push({ kind: 'link', text: address, href });
    from = index + address.length;
  }
  return [...parts, ...marked(text.slice(from))];
}

/**
 * The parts of a text: fenced code, `code`, links, marked words, everything else.
 * @param {string} text
 * @returns {Part[]}
 */
export function partsOf(text) {
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (const { 0: found, 1: block, 2: code, index } of text.matchAll(/```\n?([^]+?)\n?```|`([^`\n]+)`/gu)) {
    parts.push(...linked(text.slice(from, index)));
    parts.push(block === undefined ? { kind: 'code', text: code } : { kind: 'block', text: block });
    from = index + found.length;
  }
  return [...parts, ...linked(text.slice(from))];
}

/** What people read of a text, in one line. @param {string} text @param {number} [chars] at most */
export function plainOf(text, chars = 120) {
  /** @param {Part[]} parts @returns {string} */
  const read = (parts) => parts.map((part) => ('parts' in part ? read(part.parts) : part.text)).join('');
  return [...read(partsOf(text.slice(0, chars * 8))).replace(/\s+/gu, ' ')].slice(0, chars).join('');
}

/** Whether a text is a few emoji and nothing else: those are shown large. @param {string} text */
export const isJumbo = (text) => /^(?:\s*(?:\p{RGI_Emoji}|\p{Extended_Pictographic}\uFE0F?)){1,3}\s*$/v.test(text);
