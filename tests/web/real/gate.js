/**
 * The path between a client and the server, in the hands of the test: it can be closed, cut, or swallow what it is
 * given, as paths do. It forwards bytes and understands only the first line of a request, to tell WebSockets apart.
 */

import { connect, createServer } from 'node:net';
import { once } from 'node:events';

export class Gate {
  /** `open`; `closed`: WebSockets are refused, pages are served; `down`: nothing gets through. */
  mode = 'open';
  /** Bytes from the server are swallowed: the client's still arrive. */
  swallowAnswers = false;
  #sockets = new Set();

  /**
   * @param {import('node:test').TestContext} t
   * @param {number} port of the server; `gate.behind` leads what connects later to another one
   */
  static async open(t, port) {
    const gate = new Gate();
    gate.behind = port;
    gate.server = createServer((client) => gate.#accept(client, gate.behind)).listen(0, '127.0.0.1');
    await once(gate.server, 'listening');
    gate.port = gate.server.address().port;
    t.after(() => {
      gate.cut(true);
      gate.server.close();
    });
    return gate;
  }

  get url() { return `http://127.0.0.1:${this.port}/`; }

  get ws() { return `ws://127.0.0.1:${this.port}/ws`; }

  /** Cuts what is connected; only the WebSockets if not told otherwise. */
  cut(all = false) {
    for (const { client, upstream, isSocket } of this.#sockets) {
      if (!all && !isSocket) continue;
      client.destroy();
      upstream?.destroy();
    }
  }

  /** Says something to the WebSockets as the server would: for states that a server without a store never has. */
  say(message) {
    const text = Buffer.from(JSON.stringify(message));
    for (const { client, isSocket } of this.#sockets) if (isSocket) client.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
  }

  #accept(client, port) {
    if (this.mode === 'down') return client.destroy();
    const pair = { client, upstream: undefined, isSocket: false };
    this.#sockets.add(pair);
    client.on('error', () => {});
    client.on('close', () => {
      this.#sockets.delete(pair);
      pair.upstream?.destroy();
    });
    client.on('data', (data) => {
      if (data.toString('latin1', 0, 16).startsWith('GET /ws ')) {
        pair.isSocket = true;
        if (this.mode !== 'open') return client.destroy();
      }
      if (!pair.upstream) {
        pair.upstream = connect(port, '127.0.0.1');
        pair.upstream.on('error', () => client.destroy());
        pair.upstream.on('close', () => client.destroy());
        pair.upstream.on('data', (answer) => {
          if (!(pair.isSocket && this.swallowAnswers)) client.write(answer);
        });
      }
      pair.upstream.write(data);
    });
  }
}
