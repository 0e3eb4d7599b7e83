/**
 * Attention: the number in the title, notifications with a sound for those who asked for them, and sleep for a page that nobody
 * looks at, so that the server can be scaled to nothing at night.
 * @module
 */

import { plainOf } from './format.js';
import { recall, remember } from './memory.js';

/** A page hidden for so long gives its connection back, in milliseconds; not where notifications are on. */
export const SLEEP_AFTER_MS = 15 * 60_000;

export class Attention {
  #timer = 0;
  /** @type {AudioContext | undefined} */
  #audio;

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
      note = new Notification(`${entry.user.name} in ${room}`, { body: plainOf(entry.text ?? '', 200), tag: room, icon: '/assets/icons/confab.svg' });
    } catch {
      return; // some phones only take them from a service worker
    }
    this.#chime();
    note.onclick = () => {
      window.focus();
      open();
      note.close();
    };
  }

  /** Two soft tones. Without a gesture before, the browser keeps them silent. */
  #chime() {
    const audio = this.#audio ??= new AudioContext();
    [660, 880].forEach((frequency, i) => {
      const at = audio.currentTime + i * 0.12;
      const tone = new OscillatorNode(audio, { frequency });
      const volume = new GainNode(audio, { gain: 0.05 });
      volume.gain.setTargetAtTime(0, at, 0.08);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.5);
    });
  }

  /** @param {string} room @param {number} unread */
  title(room, unread) {
    document.title = `${unread ? `(${unread}) ` : ''}${room} · confab`;
  }
}
