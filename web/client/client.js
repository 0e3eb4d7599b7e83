/**
 * The client: one user's rooms over one connection after another.
 *
 * Owns when to dial, which connection counts, what is sent from the outbox and the state that people are told.
 * Positions live in the rooms, so any connection may end at any time.
 * @module
 */

import { Backoff, newKey, systemClock } from './clock.js';
import { Emitter } from './emitter.js';
import { watchEnvironment } from './environment.js';
import { Disconnected, InvalidInput, PASSING, Refusal, afterClose } from './errors.js';
import { Link } from './link.js';
import { Outbox, afterFailure, attempted, decide } from './outbox.js';
import { Room } from './room.js';
import { memoryStore } from './stores.js';
import { DEFAULT_LIMITS } from './wire.js';

/** @import { Clock } from './clock.js' */
/** @import { SocketClass } from './link.js' */
/** @import { Command, Item, Store } from './outbox.js' */
/** @import { Durability, Joined, Limits, Message, Sent, User, Welcome } from './words.js' */

/** After so long without a failure the next back-off starts small again, in milliseconds. */
export const HEALTHY_AFTER_MS = 30_000;
/** An old connection waits so long for its last answers when a new one has taken over. */
export const RETIRE_MS = 2000;
/** A probe without an answer for so long: the connection is dead. */
export const PROBE_TIMEOUT_MS = 5000;
/** After a `rate_limited` sends of a room are at least so far apart, in milliseconds; at most five seconds. */
const PACE_MS = 20;
/** Each send that is stored brings the next one so much nearer: slowly, so that refusals stay rare. */
const PACE_DECAY = 0.99;
/** A room is joined again because of a hole at most once in so many milliseconds. */
export const HEAL_EVERY_MS = 1000;

/**
 * @typedef {'idle' | 'connecting' | 'catching up' | 'live' | 'degraded' | 'offline' | 'refused' | 'asleep'} State
 */
/**
 * `offline`: no connection, the next attempt is at `retryAt` (this device's clock, in milliseconds). `refused`: the client will not dial
 * again by itself; `code` is a refusal's code or a close code. `degraded`: connected, and the server can't store.
 * @typedef {{ state: State, retryAt?: number, code?: string | number }} Status
 */
/**
 * @typedef {object} ClientEvents
 * @property {Status} status
 * @property {{ user: User, token: string }} signedin keep both: they sign this user in again
 * @property {Durability} durability
 * @property {readonly Item[]} outbox everything that waits, oldest first
 * @property {{ item: Item, reply: Sent | undefined }} sent `reply` is absent where the entry was found in the log
 * @property {Error} trouble something that nobody waits for went wrong: storage that fails, say
 */
/**
 * @typedef {object} Options
 * @property {string} url `wss://host/ws`
 * @property {string} name
 * @property {string} [token] an earlier guest token
 * @property {User} [user] who the token belongs to; lets things be written before the first connection
 * @property {SocketClass} [WebSocket] where the runtime has none of its own
 * @property {Store} [store] keeps the outbox; in memory by default
 * @property {Clock} [clock]
 */

/** @extends {Emitter<ClientEvents & Record<string, any>>} */
export class Client extends Emitter {
  /** @type {Map<string, Room>} by canonical name */
  rooms = new Map();
  /** @type {User | undefined} */
  user;
  /** @type {string | undefined} */
  token;
  /** @type {Welcome | undefined} the latest */
  welcome;
  /** @type {Durability | undefined} what an acknowledgement means now */
  durability;
  /** Counts since this client was made. */
  stats = { connections: 0, resumed: 0, healed: 0, lateHeartbeats: 0, roundTripMs: 0 };
  /** @type {Status} */
  #status = { state: 'idle' };
  #clock;
  #backoff;
  #wanted = false;
  #deviceOffline = false;
  /** @type {Link | undefined} the connection that counts */
  #live;
  /** @type {Link | undefined} the one being prepared to take over */
  #next;
  /** @type {WeakSet<Link>} said hello */
  #welcomed = new WeakSet();
  /** @type {WeakSet<Link>} their server can't store */
  #degraded = new WeakSet();
  /** @type {any} */
  #timer;
  /** @type {any} */
  #healthy;
  /** @type {number | undefined} the time that the last `goaway` left */
  #goawayMs;
  /** @type {Set<() => void>} waits that end early when the store is back */
  #waits = new Set();
  /** @type {Map<Room, { link: Link, done: Promise<void> }>} */
  #entering = new Map();
  /** @type {WeakSet<Room>} */
  #healing = new WeakSet();
  /** @type {WeakMap<Room, number>} */
  #healedAt = new WeakMap();
  /** @type {Set<Room>} */
  #pumping = new Set();
  /** @type {WeakMap<Room, number>} milliseconds between two sends of a room that was told to slow down */
  #pace = new WeakMap();
  /** @type {Outbox} */
  #outbox;
  #unwatch = () => {};
  /** @type {Promise<void>} */
  #loaded;

  /** @param {Options} options */
  constructor({ url, name, token, user, store = memoryStore(), clock = systemClock, WebSocket: Socket }) {
    super();
    const socketClass = Socket ?? /** @type {SocketClass | undefined} */ (globalThis.WebSocket);
    if (!socketClass) throw new TypeError('this runtime has no WebSocket: pass one as the option `WebSocket`');
    this.url = url;
    this.name = name;
    this.token = token;
    this.user = user;
    this.#clock = clock;
    this.#backoff = new Backoff(clock.random);
    this.#newLink = (/** @type {any} */ events) => new Link({ url, WebSocket: socketClass, clock, events });
    this.#outbox = new Outbox(store);
    this.#loaded = this.#outbox.load(() => this.#outboxChanged())
      .catch((error) => this.emit('trouble', error))
      .then(() => this.#outboxChanged());
  }

  #newLink;

  get status() {
    return this.#status;
  }

  /** Everything that waits, of all users; oldest first. @returns {readonly Item[]} */
  get outbox() {
    return this.#outbox.items;
  }

  /** The server's limits, or their defaults before the first welcome. @returns {Limits} */
  get limits() {
    return { ...DEFAULT_LIMITS, ...this.welcome?.limits };
  }

  /** Starts to connect, and stays connected until `close` or `sleep`. */
  connect() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#unwatch = watchEnvironment({
      online: () => {
        this.#deviceOffline = false;
        this.nudge();
      },
      offline: () => {
        this.#deviceOffline = true;
        this.nudge();
      },
      shown: () => this.nudge(),
      left: () => this.#leavePage(),
    });
    this.#backoff.reset();
    void this.#loaded.then(() => this.#dial());
  }

  /** Gives the connection back. Rooms keep their positions; `connect` goes on from there. */
  close() {
    this.#stop({ state: 'idle' });
  }

  /** As `close`, with a state of its own: for a page that nobody looks at. `connect` wakes. */
  sleep() {
    if (this.#wanted) this.#stop({ state: 'asleep' });
  }

  /** Something may have changed: dial now if there is no connection, else find out whether it still works. */
  nudge() {
    if (!this.#wanted) return;
    if (this.#live) {
      if (this.#clock.now() - this.#live.lastHeard > HEAL_EVERY_MS) void this.probe().catch(() => {});
    } else if (!this.#next) {
      this.#backoff.reset();
      this.#dial();
    }
  }

  /**
   * Measures a round trip; a connection that doesn't answer is given up.
   * @returns {Promise<number>} milliseconds
   * @throws {ConfabError}
   */
  async probe() {
    const link = this.#live;
    if (!link) throw new Disconnected(1006, 'no connection');
    const began = this.#clock.now();
    const timer = this.#clock.setTimeout(() => link.drop('no answer to a probe'), PROBE_TIMEOUT_MS);
    try {
      await this.#hello(link);
    } finally {
      this.#clock.clearTimeout(timer);
    }
    this.stats.roundTripMs = this.#clock.now() - began;
    return this.stats.roundTripMs;
  }

  /**
   * Takes another name, for all of this user's connections.
   * @param {string} name
   * @throws {ConfabError} `bad_name`, `too_long`; the old name stays
   */
  async rename(name) {
    const old = this.name;
    this.name = name;
    try {
      if (this.#live) await this.#hello(this.#live);
    } catch (error) {
      if (error instanceof Refusal) this.name = old;
      throw error;
    }
  }

  /**
   * Joins a room, now and after every reconnect.
   * @param {string} name
   * @param {{ limit?: number }} [options] entries of the first page, 1–200
   * @returns {Room}
   */
  join(name, { limit = 50 } = {}) {
    const spelled = name.normalize('NFC').trim();
    const known = this.rooms.get(spelled);
    if (known) return known;
    const room = new Room(spelled, {
      clock: this.#clock,
      limits: () => this.limits,
      stats: this.stats,
      resync: (room) => void this.#heal(room),
      enqueue: (room, command) => this.#enqueue(room, command),
      leave: (room) => this.#leave(room),
    }, limit);
    this.rooms.set(spelled, room);
    room.on('state', () => this.#update());
    if (this.#live) void this.#enter(room, this.#live);
    return room;
  }

  /**
   * Sends an item that waits for the person again, as a new message: its old key is given up.
   * @param {string} key
   * @returns {Item | undefined}
   */
  retry(key) {
    const item = this.#outbox.get(key);
    if (!item || item.state === 'waiting' || item.user !== this.user?.id) return undefined;
    this.discard(key);
    return this.#add({ room: item.room, user: item.user, command: item.command });
  }

  /**
   * Gives an item up. One that is being sent may still arrive.
   * @param {string} key
   */
  discard(key) {
    void this.#settle(this.#outbox.remove(key));
  }

  /** Ends the connection as a fault would, without a word to the server. For trying the promises by hand. */
  cut() {
    this.#live?.drop('cut by hand');
  }

  /** Lets the connection go deaf and dumb, as on a path that drops every packet. For trying the promises by hand. */
  mute() {
    if (this.#live) this.#live.muted = true;
  }

  // --- connections

  #dial() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#wanted || this.#next) return;
    /** @type {Link} */
    const link = this.#newLink({
      push: (/** @type {Message} */ message) => this.#push(link, message),
      down: (/** @type {Disconnected} */ why) => this.#down(link, why),
    });
    this.#next = link;
    this.#update();
    void this.#prepare(link);
  }

  /** @param {Link} link from hello to the last room, then it takes over */
  async #prepare(link) {
    await link.open;
    try {
      await this.#hello(link);
    } catch (error) {
      if (error instanceof Refusal) this.#helloRefused(link, error);
      return;
    }
    if (!this.#live) this.#promote(link);
    for (;;) {
      const away = [...this.rooms.values()].filter((room) => room.link !== link);
      if (!link.up || away.length === 0) break;
      await Promise.all(away.map((room) => this.#enter(room, link)));
    }
    if (link.up && this.#next === link) this.#promote(link);
  }

  /** @param {Link} link */
  #hello(link) {
    const hello = { type: 'hello', name: this.name, ...(this.token ? { token: this.token } : {}) };
    return link.request(hello, (/** @type {Welcome} */ welcome) => {
      this.welcome = welcome;
      this.user = welcome.user;
      this.name = welcome.user.name;
      this.token = welcome.token;
      this.#setDurability(welcome.durability);
      if (!this.#welcomed.has(link)) {
        this.#welcomed.add(link);
        link.heartbeat(welcome.heartbeat_ms);
      }
      this.emit('signedin', { user: welcome.user, token: welcome.token });
    });
  }

  /** @param {Link} link @param {Refusal} refusal */
  #helloRefused(link, refusal) {
    if (!PASSING.has(refusal.code)) return this.#stop({ state: 'refused', code: refusal.code });
    this.#next = undefined;
    link.close();
    this.#redial(refusal.retryMs ?? 0);
  }

  /** @param {Link} link */
  #promote(link) {
    const old = this.#live;
    this.#live = link;
    this.#next = undefined;
    this.#goawayMs = undefined;
    this.stats.connections += 1;
    this.#clock.clearTimeout(this.#healthy);
    this.#healthy = this.#clock.setTimeout(() => this.#backoff.reset(), HEALTHY_AFTER_MS);
    old?.retire(RETIRE_MS);
    this.#update();
  }

  /** @param {Link} link @param {Disconnected} why */
  #down(link, why) {
    this.stats.lateHeartbeats += link.lateHeartbeats;
    for (const room of this.rooms.values()) if (room.link === link) room.link = undefined;
    if (link !== this.#live && link !== this.#next) return;
    if (link === this.#next) this.#next = undefined;
    if (link === this.#live) this.#live = undefined;
    this.#clock.clearTimeout(this.#healthy);
    if (!this.#wanted) return;
    const { comeBack, retryMs } = afterClose(why.closeCode, why.reason);
    if (!comeBack) return this.#stop({ state: 'refused', code: why.closeCode });
    if (this.#next) {
      if (this.#welcomed.has(this.#next)) this.#promote(this.#next);
    } else if (!this.#timer) {
      this.#redial(retryMs);
    }
    this.#update();
  }

  /** @param {number} atLeastMs told by the server */
  #redial(atLeastMs) {
    const jitter = this.#backoff.next();
    const spread = this.#goawayMs === undefined ? jitter : Math.floor(this.#clock.random() * this.#goawayMs);
    this.#goawayMs = undefined;
    const wait = atLeastMs ? atLeastMs + Math.floor(jitter / 4) : spread;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#dial(), wait);
    this.#retryAt = this.#clock.now() + wait;
    this.#update();
  }

  #retryAt = 0;

  /** @param {Status} status */
  #stop(status) {
    this.#wanted = false;
    this.#unwatch();
    this.#clock.clearTimeout(this.#timer);
    this.#clock.clearTimeout(this.#healthy);
    this.#timer = undefined;
    const links = [this.#live, this.#next];
    this.#live = this.#next = undefined;
    for (const link of links) link?.close();
    this.#wakeWaits();
    this.#setStatus(status);
  }

  /** Closes in good order and stays wanted: a page that is shown again dials at once. */
  #leavePage() {
    const links = [this.#live, this.#next];
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#live = this.#next = undefined;
    for (const link of links) link?.close();
    this.#retryAt = this.#clock.now();
    this.#update();
  }

  // --- pushes

  /** @param {Link} link @param {Message} message */
  #push(link, message) {
    if (message.type === 'goaway') {
      if (link === this.#live && !this.#next) {
        this.#goawayMs = Math.max(0, Number(message.in_ms) || 0);
        this.#redial(0);
      }
    } else if (message.type === 'degraded') {
      if (message.on) this.#degraded.add(link);
      else {
        this.#degraded.delete(link);
        this.#wakeWaits();
      }
      this.#update();
    } else if (message.type === 'durability') {
      this.#setDurability(message.mode);
    } else if (message.type === 'error') {
      this.emit('trouble', new Refusal(message));
    } else {
      this.rooms.get(message.room)?.push(link, message);
    }
  }

  /** @param {Durability} mode */
  #setDurability(mode) {
    if (mode === this.durability) return;
    this.durability = mode;
    this.emit('durability', mode);
  }

  // --- rooms

  /**
   * Joins a room on a connection, again and again while the refusal is one that passes.
   * @param {Room} room @param {Link} link @returns {Promise<void>}
   */
  #enter(room, link) {
    const running = this.#entering.get(room);
    if (running?.link === link) return running.done;
    const done = this.#tryToEnter(room, link).finally(() => {
      if (this.#entering.get(room)?.link === link) this.#entering.delete(room);
      this.#update();
    });
    this.#entering.set(room, { link, done });
    return done;
  }

  /** @param {Room} room @param {Link} link */
  async #tryToEnter(room, link) {
    const backoff = new Backoff(this.#clock.random);
    while (link.up && this.rooms.get(room.name) === room) {
      try {
        const since = room.since;
        await link.request({ type: 'join', room: room.name, limit: room.pageSize, ...(since ? { since } : {}) },
          (/** @type {Joined} */ reply) => this.#joined(room, link, reply));
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) return;
        if (!PASSING.has(error.code)) {
          this.rooms.delete(room.name);
          room.refusedBy = error.code;
          return room.setState('refused');
        }
        await this.#wait(Math.max(error.retryMs ?? 0, backoff.next()));
      }
    }
  }

  /** @param {Room} room @param {Link} link @param {Joined} reply */
  #joined(room, link, reply) {
    if (this.rooms.get(room.name) !== room) return;
    if (reply.room !== room.name) {
      this.rooms.delete(room.name);
      this.rooms.set(reply.room, room);
    }
    room.joined(link, reply);
    this.#update();
    void this.#pump(room);
  }

  /** @param {Room} room an entry is missing: ask for it, from the position */
  async #heal(room) {
    const link = room.link;
    if (!link || this.#healing.has(room) || this.#entering.get(room)?.link === link) return;
    this.#healing.add(room);
    const since = this.#clock.now() - (this.#healedAt.get(room) ?? -Infinity);
    if (since < HEAL_EVERY_MS) await this.#wait(HEAL_EVERY_MS - since);
    this.#healing.delete(room);
    if (!link.up || room.link !== link) return;
    this.#healedAt.set(room, this.#clock.now());
    this.stats.healed += 1;
    await this.#enter(room, link);
  }

  /** @param {Room} room */
  #leave(room) {
    this.rooms.delete(room.name);
    // Also where the join is still on its way: the server answers in order.
    this.#live?.request({ type: 'leave', room: room.name }).catch(() => {});
    room.link = undefined;
    room.setState('left');
    this.#update();
  }

  // --- outbox

  /** @param {Room} room @param {Command} command @returns {Item} */
  #enqueue(room, command) {
    if (!this.user) throw new InvalidInput('not_signed_in', 'nobody is signed in yet: wait for the first `signedin`');
    return this.#add({ room: room.name, user: this.user.id, command });
  }

  /** @param {Pick<Item, 'room' | 'user' | 'command'>} content @returns {Item} */
  #add(content) {
    /** @type {Item} */
    const item = {
      ...content, key: newKey(), queuedAt: this.#clock.now(), firstAt: null, after: null, unknown: false, state: 'waiting',
    };
    void this.#settle(this.#outbox.put(item));
    const room = this.rooms.get(item.room);
    if (room) void this.#pump(room);
    return item;
  }

  /** @param {Promise<void>} change of the outbox: it counts in memory at once, a failing store is only told */
  async #settle(change) {
    this.#outboxChanged();
    try {
      await change;
    } catch (error) {
      this.emit('trouble', /** @type {Error} */ (error));
    }
  }

  #outboxChanged() {
    this.emit('outbox', this.#outbox.items);
  }

  /** @param {Room} room sends what waits for it, one at a time, so that the order holds over refusals */
  async #pump(room) {
    if (this.#pumping.has(room)) return;
    this.#pumping.add(room);
    try {
      await this.#loaded;
      const backoff = new Backoff(this.#clock.random);
      for (;;) {
        const item = this.user && this.#outbox.head(room.name, this.user.id);
        if (!item || !room.link?.up || !this.#wanted) return;
        if (decide(item, this.#clock.now(), /** @type {number} */ (this.limits.key_window_ms)) === 'search') {
          const found = await room.search(item);
          if (found === 'found') await this.#sent(item, undefined);
          else await this.#settle(this.#outbox.put({ ...item, state: 'asking', why: found }));
          continue;
        }
        await this.#attempt(room, item, backoff);
      }
    } catch (error) {
      if (!(error instanceof Disconnected)) this.emit('trouble', /** @type {Error} */ (error));
    } finally {
      this.#pumping.delete(room);
      // The connection may have changed under a search or a send.
      if (room.link?.up && this.user && this.#outbox.head(room.name, this.user.id)) {
        void this.#wait(HEAL_EVERY_MS).then(() => this.#pump(room));
      }
    }
  }

  /** @param {Room} room @param {Item} item @param {Backoff} backoff */
  async #attempt(room, item, backoff) {
    const pace = this.#pace.get(room) ?? 0;
    if (pace >= 1) await this.#wait(pace);
    if (this.#outbox.get(item.key) !== item) return; // discarded meanwhile
    const attempt = attempted(item, this.#clock.now(), room.log.position);
    if (attempt !== item) await this.#settle(this.#outbox.put(attempt));
    const link = room.link;
    if (!link?.up) return;
    try {
      await this.#sent(attempt, await link.request({ ...attempt.command, room: room.name, key: attempt.key }));
      backoff.reset();
      this.#pace.set(room, pace * PACE_DECAY);
    } catch (error) {
      if (error instanceof Refusal && error.code === 'rate_limited') this.#pace.set(room, Math.min(5000, Math.max(PACE_MS, pace * 2)));
      if (!this.#outbox.get(item.key)) return; // discarded meanwhile
      const after = afterFailure(item, attempt, error);
      if (after !== attempt) await this.#settle(this.#outbox.put(after));
      if (error instanceof Refusal && after.state === 'waiting') {
        if (error.code === 'not_joined') await this.#enter(room, link);
        await this.#wait(Math.max(error.retryMs ?? 0, backoff.next()));
      }
    }
  }

  /** @param {Item} item @param {Sent | undefined} reply */
  async #sent(item, reply) {
    await this.#settle(this.#outbox.remove(item.key));
    this.emit('sent', { item, reply });
  }

  // --- waiting and telling

  /** @param {number} ms @returns {Promise<void>} ends early when the store is back */
  #wait(ms) {
    return new Promise((resolve) => {
      const end = () => {
        this.#clock.clearTimeout(timer);
        this.#waits.delete(end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, ms);
      this.#waits.add(end);
    });
  }

  #wakeWaits() {
    for (const end of [...this.#waits]) end();
  }

  #update() {
    if (!this.#wanted) return;
    const rooms = [...this.rooms.values()];
    if (!this.#live) {
      if (this.#next) this.#setStatus({ state: 'connecting' });
      else this.#setStatus({ state: 'offline', retryAt: this.#retryAt, ...(this.#deviceOffline ? { code: 'device' } : {}) });
    } else if (this.#degraded.has(this.#live)) {
      this.#setStatus({ state: 'degraded' });
    } else if (rooms.some((room) => room.link !== this.#live && room.link === undefined || room.state === 'catching up')) {
      this.#setStatus({ state: 'catching up' });
    } else {
      this.#setStatus({ state: 'live' });
    }
  }

  /** @param {Status} status */
  #setStatus(status) {
    const { state, retryAt, code } = this.#status;
    if (status.state === state && status.retryAt === retryAt && status.code === code) return;
    this.#status = status;
    this.emit('status', status);
  }
}
