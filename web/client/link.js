/**
 * One connection: frames in and out, replies matched to requests, the heartbeat answered, silence noticed.
 *
 * Knows no room and no user, and never dials again: when it is down it says so once, and every request without an
 * answer ends with `Disconnected`.
 * @module
 */

import { Disconnected, Refusal } from './errors.js';
import { SUBPROTOCOL, decode } from './wire.js';

/** @import { Clock } from './clock.js' */
/** @import { Message } from './words.js' */

/** A connection that is not open by then is given up, in milliseconds. */
export const OPEN_TIMEOUT_MS = 10_000;
/** A request without an answer for so long means that the connection is dead (the server answers within 1 s). */
export const REPLY_TIMEOUT_MS = 10_000;

/**
 * The part of the WebSocket interface that is used here.
 * @typedef {object} Socket
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 */
/** @typedef {new (url: string, protocols?: string | string[]) => Socket} SocketClass */
/**
 * @typedef {object} LinkEvents
 * @property {(message: Message) => void} push an object without an answer's `id`
 * @property {(why: Disconnected) => void} down called once, also when the connection never opened
 */

export class Link {
  /** @type {Socket} */
  #socket;
  /** @type {Map<number, { resolve: (reply: any) => void, reject: (error: Error) => void, timer: any, take?: (reply: any) => void }>} */
  #requests = new Map();
  #nextId = 1;
  #up = true;
  /** @type {any} */
  #watch;
  #heartbeatMs = 0;
  #retiring = false;
  /** @type {() => void} */
  #opened = () => {};

  /**
   * @param {{ url: string, WebSocket: SocketClass, clock: Clock, events: LinkEvents }} options
   */
  constructor({ url, WebSocket, clock, events }) {
    this.clock = clock;
    this.events = events;
    this.lastHeard = clock.now();
    /** Heartbeats that were late by more than half a period: a measure of the path, not an error. */
    this.lateHeartbeats = 0;
    /** While true nothing is sent or heard, as on a path that drops every packet. For trying the promises by hand. */
    this.muted = false;
    /** @readonly resolves when the connection is open; never rejects (`down` tells) */
    this.open = /** @type {Promise<void>} */ (new Promise((resolve) => { this.#opened = resolve; }));
    this.#watch = clock.setTimeout(() => this.drop('not open in time'), OPEN_TIMEOUT_MS);
    this.#socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket.onopen = () => {
      clock.clearTimeout(this.#watch);
      this.#opened();
    };
    this.#socket.onmessage = (event) => this.#heard(event.data);
    this.#socket.onclose = (event) => this.#down(new Disconnected(event.code ?? 1006, String(event.reason ?? '')));
    this.#socket.onerror = () => {};
  }

  /** Whether requests can be made. */
  get up() {
    return this.#up;
  }

  /** Requests that wait for an answer. */
  get pending() {
    return this.#requests.size;
  }

  /**
   * Starts to watch for silence: nothing heard for twice this time, and the connection is taken for dead.
   * @param {number} ms `welcome.heartbeat_ms`
   */
  heartbeat(ms) {
    this.#heartbeatMs = ms;
    this.#rearm();
  }

  /**
   * Sends a command and waits for its reply.
   * @param {Message} command
   * @param {(reply: any) => void} [take] called with the reply before anything that came behind it is delivered
   * @returns {Promise<any>}
   * @throws {Refusal} the server refused it
   * @throws {Disconnected} no answer came
   */
  request(command, take) {
    return new Promise((resolve, reject) => {
      if (!this.#up) return void reject(new Disconnected(1006, 'the connection is down'));
      const id = this.#nextId;
      this.#nextId += 1;
      const timer = this.clock.setTimeout(() => this.drop('no answer in time'), REPLY_TIMEOUT_MS);
      this.#requests.set(id, { resolve, reject, timer, take });
      this.post({ ...command, id });
    });
  }

  /**
   * Sends a command that has no reply.
   * @param {Message} command
   */
  post(command) {
    if (this.#up && !this.muted) this.#socket.send(JSON.stringify(command));
  }

  /** Closes in good order: the other side will see 1000. */
  close() {
    this.#end(1000, 'done');
  }

  /**
   * Closes in good order as soon as nothing waits for an answer.
   * @param {number} ms at the latest
   */
  retire(ms) {
    this.#retiring = true;
    this.clock.setTimeout(() => this.close(), ms);
    if (!this.pending) this.close();
  }

  /**
   * Gives the connection up without waiting for the other side.
   * @param {string} reason
   */
  drop(reason) {
    this.#end(1006, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (!this.#up) return;
    this.#down(new Disconnected(code, reason));
    try {
      this.#socket.close(1000);
    } catch {
      // A socket that is still connecting may refuse; it has no listeners any more.
    }
  }

  /** @param {Disconnected} why */
  #down(why) {
    if (!this.#up) return;
    this.#up = false;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.clock.clearTimeout(this.#watch);
    for (const { reject, timer } of this.#requests.values()) {
      this.clock.clearTimeout(timer);
      reject(why);
    }
    this.#requests.clear();
    this.events.down(why);
  }

  /** @param {unknown} frame */
  #heard(frame) {
    if (this.muted) return;
    const now = this.clock.now();
    if (this.#heartbeatMs && now - this.lastHeard > this.#heartbeatMs * 1.5) this.lateHeartbeats += 1;
    this.lastHeard = now;
    if (this.#heartbeatMs) this.#rearm();
    let messages;
    try {
      messages = decode(String(frame));
    } catch {
      return this.drop('the server sent what is not the protocol');
    }
    for (const message of messages) this.#take(message);
  }

  /** @param {Message} message */
  #take(message) {
    if (message.type === 'ping') return this.post({ type: 'pong' });
    const request = message.id === undefined ? undefined : this.#requests.get(message.id);
    if (!request) return void (message.id === undefined && this.#up && this.events.push(message));
    this.#requests.delete(/** @type {number} */ (message.id));
    this.clock.clearTimeout(request.timer);
    if (message.type === 'error') request.reject(new Refusal(message));
    else {
      request.take?.(message);
      request.resolve(message);
    }
    if (this.#retiring && !this.pending) this.close();
  }

  #rearm() {
    this.clock.clearTimeout(this.#watch);
    this.#watch = this.clock.setTimeout(() => this.drop('silence'), this.#heartbeatMs * 2);
  }
}
