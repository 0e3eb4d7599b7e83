/**
 * A peer that does exactly what a test says, and a clock that moves only when told: for corner cases that a real
 * server doesn't produce on demand. Everything a real server can do is tested against the real one.
 */

/** A clock in the hands of the test. */
export function handClock(start = 1_700_000_000_000) {
  let now = start;
  let timers = [];
  let serial = 0;
  return {
    now: () => now,
    random: () => 0.5,
    setTimeout(run, ms) {
      serial += 1;
      timers.push({ at: now + ms, run, serial });
      return serial;
    },
    clearTimeout(id) { timers = timers.filter((timer) => timer.serial !== id); },
    set(time) { now = time; },
    /** Moves on and runs what falls due, in order. */
    async pass(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        timers.sort((a, b) => a.at - b.at || a.serial - b.serial);
        const due = timers[0];
        if (!due || due.at > end) break;
        timers.shift();
        now = Math.max(now, due.at);
        due.run();
        await settle();
      }
      now = end;
      await settle();
    },
  };
}

/** Lets every promise that can go on go on. */
export const settle = () => new Promise((resolve) => { setImmediate(resolve); });

/** A WebSocket class whose sockets are played by the test. */
export function scriptedPeer() {
  const sockets = [];
  class ScriptedSocket {
    constructor(url, protocols) {
      Object.assign(this, { url, protocols, heard: [], closedByClient: undefined });
      sockets.push(this);
    }

    send(data) { this.heard.push(...data.split('\n').map((line) => JSON.parse(line))); }

    close(code) { this.closedByClient ??= code ?? 1005; }

    // What the test does as the server:
    accept() { this.onopen?.({}); }

    say(...messages) { this.onmessage?.({ data: messages.map((message) => JSON.stringify(message)).join('\n') }); }

    end(code, reason = '') { this.onclose?.({ code, reason }); }

    last(type) { return this.heard.findLast((message) => message.type === type); }

    count(type) { return this.heard.filter((message) => message.type === type).length; }

    /** Answers the latest command of a type. */
    answer(type, reply, ...behind) { this.say({ ...reply, id: this.last(type).id }, ...behind); }

    async welcome(user = { id: 'u1', name: 'Ada' }) {
      this.accept();
      await settle();
      this.answer('hello', {
        type: 'welcome', user, token: `token of ${user.id}`, instance: 'i1', durability: 'stored',
        heartbeat_ms: 25_000, limits: { key_window_ms: 600_000 },
      });
      await settle();
    }

    async joined(entries = [], more = {}) {
      const last = entries.at(-1);
      this.answer('join', {
        type: 'joined', room: 'den', position: last ? { offset: last.offset, chain: last.chain } : { offset: 0, chain: '' },
        entries, oldest: entries.length ? 1 : 0, members: [{ id: 'u1', name: 'Ada' }], member_count: 1, ...more,
      });
      await settle();
    }
  }
  return { WebSocket: ScriptedSocket, sockets, get socket() { return sockets.at(-1); } };
}

/** Entry `offset` of a room. */
export const entry = (offset, more = {}) => ({
  type: 'message', room: 'den', offset, chain: `c${offset}`, at: 1000 + offset, user: { id: 'u2', name: 'Bo' },
  key: `k${offset}`, text: `text ${offset}`, ...more,
});

export const entries = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => entry(from + i));
