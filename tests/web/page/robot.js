/** Somebody without a browser, to fill rooms quickly, and rates that don't hold a test up. */

import { WebSocket } from 'ws';
import { Client } from '../../../web/client/index.js';
import { until } from '../real/server.js';

export const FAST = {
  ...Object.fromEntries(['SENDS_PER_SECOND', 'SEND_BURST', 'COMMANDS_PER_SECOND', 'COMMAND_BURST'].map((name) => [`CONFAB__LIMITS__${name}`, '1000000'])),
  CONFAB__LIMITS__HISTORY_ENTRIES: '100000', CONFAB__LIMITS__HISTORY_BYTES: '100000000',
};

/**
 * @param {import('node:test').TestContext} t
 * @param {string} url of the WebSocket
 */
export async function robot(t, url, name = 'Robot', room = 'den', more = {}) {
  const client = new Client({ url, name, WebSocket, ...more });
  t.after(() => client.close());
  const joined = client.join(room);
  client.connect();
  await until('the robot is live', () => joined.state === 'live');
  const fill = async (count, text = (i) => `message ${i}`) => {
    for (let i = 1; i <= count; i += 1) joined.send(text(i));
    await until('all is stored', () => client.outbox.length === 0, 60_000);
  };
  return { client, room: joined, fill };
}
