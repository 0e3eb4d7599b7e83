/**
 * Attention: the number in the title, notifications for those who asked for them, and sleep for a page that nobody
 * looks at, so that the server can be scaled to nothing at night.
 * @module
 */

import { recall, remember } from './memory.js';

/** A page hidden for so long gives its connection back, in milliseconds; not where notifications are on. */
export const SLEEP_AFTER_MS = 15 * 60_000;

export class Attention {
  #timer = 0;

  /**
   * @param {import('../client/index.js').Client} client
   * @param {{ sleepAfterMs?: number, shown: () => void }} options
   */
  constructor(client, { sleepAfterMs = SLEEP_AFTER_MS, shown }) {
    this.client = client;
    this.stop = new AbortController();
    const changed = () => {
      clearTimeout(this.#timer);
      if (document.hidden) {
        if (!this.notifying) this.#timer = setTimeout(() => client.sleep(), sleepAfterMs);
        return;
      }
      if (client.status.state === 'asleep') client.connect();
      shown();
    };
    document.addEventListener('visibilitychange', changed, { signal: this.stop.signal });
    addEventListener('focus', changed, { signal: this.stop.signal });
    changed();
  }

  destroy() {
    clearTimeout(this.#timer);
    this.stop.abort();
  }

  get notifying() {
    return recall('notify', false) === true && 'Notification' in globalThis && Notification.permission === 'granted';
  }

  /** Turns notifications on (asking the browser) or off. @returns {Promise<boolean>} whether they are on now */
  async toggle() {
    const on = !this.notifying && 'Notification' in globalThis && await Notification.requestPermission() === 'granted';
    remember('notify', on);
    return on;
  }

  /**
   * @param {string} room
   * @param {{ user: { name: string }, text?: string }} entry
   * @param {() => void} open
   */
  tell(room, entry, open) {
    if (!this.notifying || !document.hidden) return;
    let note;
    try {
      note = new Notification(`${entry.user.name} in ${room}`, { body: [...(entry.text ?? '')].slice(0, 200).join(''), tag: room, icon: '/assets/icons/confab.svg' });
    } catch {
      return; // some phones only take them from a service worker
    }
    note.onclick = () => {
      window.focus();
      open();
      note.close();
    };
  }

  /** @param {string} room @param {number} unread */
  title(room, unread) {
    document.title = `${unread ? `(${unread}) ` : ''}${room} · confab`;
  }
}
