/**
 * The promises, to be tried by hand (`?proof`): what the connection and the room are at, and buttons that break the
 * connection or check the chain of what is shown.
 * @module
 */

import { h } from './dom.js';
import { verifyChain } from '../client/index.js';

/** How often the figures are drawn, in milliseconds. */
const EVERY_MS = 500;

export class Proof {
  /**
   * @param {import('../client/index.js').Client} client
   * @param {() => import('../client/index.js').Room} room
   */
  constructor(client, room) {
    this.client = client;
    this.room = room;
    this.figures = h('dl', {});
    this.result = h('p', { class: 'result', role: 'status' });
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => h('button', { type: 'button', class: 'small', onclick }, text);
    this.element = h('section', { class: 'proof', 'aria-label': 'Proof panel', tabindex: 0 },
      h('h2', {}, 'Proof'), this.figures,
      h('div', { class: 'buttons' }, button('Cut my socket', () => client.cut()), button('Go half-open', () => client.mute()),
        button('Round trip', () => void client.probe().catch(() => {})), button('Verify chain', () => void this.#verify())),
      this.result);
    this.timer = setInterval(() => this.#draw(), EVERY_MS);
    queueMicrotask(() => this.#draw()); // by then a room is open
  }

  destroy() {
    clearInterval(this.timer);
  }

  async #verify() {
    const { entries } = this.room().log;
    const { ok, checked, brokenAt } = await verifyChain(entries);
    this.result.textContent = ok
      ? `${checked} links between offsets ${entries[0]?.offset ?? 0} and ${entries.at(-1)?.offset ?? 0} recomputed: all agree.`
      : `The chain breaks at offset ${brokenAt}.`;
  }

  #draw() {
    const { client } = this;
    const { log, state } = this.room();
    const { welcome, stats } = client;
    const figures = {
      state: client.status.state,
      instance: welcome?.instance ?? '–',
      revision: welcome?.revision ?? '–',
      durability: client.durability ?? '–',
      room: state,
      offset: log.position.offset,
      chain: log.position.chain || '–',
      loaded: log.entries.length,
      connections: stats.connections,
      resumed: stats.resumed,
      healed: stats.healed,
      'late heartbeats': stats.lateHeartbeats,
      'round trip': stats.roundTripMs ? `${stats.roundTripMs} ms` : '–',
      outbox: client.outbox.length,
    };
    this.figures.replaceChildren(...Object.entries(figures).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, String(value)))));
  }
}
