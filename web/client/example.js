/**
 * The smallest whole program: joins a room, says hello, prints what is said there until it is told to stop.
 *
 * Give it an address, the runtime’s WebSocket and somewhere to print to.
 * @module
 */

import { Client } from './index.js';

/**
 * @param {string} url
 * @param {import('./index.js').Options['WebSocket']} WebSocket
 * @param {(line: string) => void} print
 * @returns {Client}
 */
export function greet(url, WebSocket, print) {
  const client = new Client({ url, name: 'Ada', WebSocket });
  const room = client.join('lobby');
  room.on('entries', ({ added }) => {
    for (const entry of added) if (entry.type === 'message') print(`${entry.user.name}: ${entry.text}`);
  });
  client.on('status', ({ state }) => print(`(${state})`));
  client.on('sent', ({ reply }) => print(`stored at ${reply?.position.offset}`));
  client.on('signedin', () => room.send('hello'));
  client.connect();
  return client;
}
