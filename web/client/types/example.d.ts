/**
 * @param {string} url
 * @param {import('./index.js').Options['WebSocket']} WebSocket
 * @param {(line: string) => void} print
 * @returns {Client}
 */
export function greet(url: string, WebSocket: import("./index.js").Options["WebSocket"], print: (line: string) => void): Client;
import { Client } from './index.js';
