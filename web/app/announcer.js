/**
 * Reads new messages out to a screen reader, a few at a time. Older pages and one's own messages are never read.
 * @module
 */

import { plainOf } from './format.js';

/** New messages are read out at most once in so many milliseconds. */
const EVERY_MS = 2000;
/** More than so many are only counted. */
const READ_OUT = 3;

export class Announcer {
  #timer = 0;
  /** @type {string[]} */
  #unsaid = [];

  /** @param {{ user: { name: string }, text?: string }[]} entries */
  say(entries) {
    this.#unsaid.push(...entries.map((entry) => `${entry.user.name}: ${plainOf(entry.text ?? '', 300)}`));
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      const texts = this.#unsaid.splice(0);
      const line = texts.length > READ_OUT ? `${texts.length} new messages` : texts.join('. ');
      document.getElementById('announcer')?.replaceChildren(line.slice(0, 500));
    }, EVERY_MS);
  }
}
