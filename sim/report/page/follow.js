// What caused what. An event is caused by the one that scheduled it; a process
// goes on from a message that it takes through what it does at once, and
// through its disk's operations. Where writes wait for others', this is a
// guess; what answers what isn't, and is told by the simulator.

const CLOSURE_MAX = 400;  // events
const DEPTH_MAX = 4;      // messages one after the other
const FOLLOWED_MAX = 160;

class Follow {
  constructor(run) {
    this.run = run;
    this.made = null;
  }
  // By event. Made when it is first needed.
  get index() {
    if (this.made !== null) return this.made;
    const run = this.run;
    const n = run.events.count;
    const by = (column) => grouped(
        Int32Array.from(column, (e) => (e < NEVER ? run.eventAt(e) : -1)), n);
    this.made = {
      sent: by(run.messages.sentEvent), arrived: by(run.messages.arrivedEvent),
      read: by(run.messages.readEvent), diskBegun: by(run.disk.begunEvent),
      diskEnded: by(run.disk.endedEvent), called: by(run.calls.begunEvent),
      returned: by(run.calls.endedEvent), states: by(run.states.event),
      marks: by(run.marks.event), notes: by(run.notes.event),
      children: by(run.events.cause),
    };
    return this.made;
  }
  kind(e) { return this.run.kinds[this.run.events.kind[e]]; }
  // Whether an event is its cause's work going on.
  goesOn(e, cause) {
    const kind = this.kind(e);
    const ev = this.run.events;
    return ev.lane[e] === ev.lane[cause] &&
        (kind === "post" || kind === "disk" || kind === "write-done" ||
         (kind === "timer" && ev.time[e] - ev.time[cause] < 1000));
  }

  // All that event e led to in its own process, up to further messages.
  effects(e) {
    const found = {messages: [], disk: [], calls: [], states: []};
    if (e < 0) return found;
    const queue = [e];
    for (let at = 0; at < queue.length && at < CLOSURE_MAX; ++at) {
      const i = queue[at];
      found.messages.push(...this.index.sent.of(i));
      found.disk.push(...this.index.diskBegun.of(i));
      found.calls.push(...this.index.returned.of(i));
      found.states.push(...this.index.states.of(i));
      for (const child of this.index.children.of(i)) {
        if (this.goesOn(child, i)) queue.push(child);
      }
    }
    return found;
  }
  // What led to event e: {message}, {call} or {timer}, and disk operations on
  // the way there.
  origin(e) {
    const disk = [];
    for (let steps = 0; e >= 0 && steps < 100; ++steps) {
      const read = this.index.read.of(e);
      if (read.length > 0) return {message: read[read.length - 1], disk};
      const called = this.index.called.of(e);
      if (called.length > 0) return {call: called[0], disk};
      disk.push(...this.index.diskEnded.of(e));
      const cause = this.run.eventAt(this.run.events.cause[e]);
      if (cause < 0 || !this.goesOn(e, cause)) {
        return {event: e, kind: this.kind(e), disk};
      }
      e = cause;
    }
    return {disk};
  }

  // The messages around a selection: number -> how many steps away, before it
  // less than 0. And the tree of what it led to.
  chain(selected) {
    const run = this.run;
    const steps = new Map();
    const before = [];
    let event = -1;
    let tree = [];
    if (selected.type === "message") {
      const m = run.messages;
      steps.set(selected.i, 0);
      event = m.sentEvent[selected.i];
      tree = this.led(selected.i, 1, steps);
    } else if (selected.type === "call") {
      event = run.calls.endedEvent[selected.i];
      const effects = this.effects(run.eventAt(
          run.calls.begunEvent[selected.i]));
      tree = this.branches(effects.messages, 1, steps);
    } else if (selected.type === "disk") {
      event = run.disk.begunEvent[selected.i];
      tree = this.branches(this.effects(run.eventAt(
          run.disk.endedEvent[selected.i])).messages, 1, steps);
    } else {
      return {steps, before, tree, origin: null};
    }
    let origin = null;
    for (let back = 1; back <= 8 && event < NEVER; ++back) {
      origin = this.origin(run.eventAt(event));
      if (origin.message === undefined || steps.has(origin.message)) break;
      steps.set(origin.message, -back);
      before.push(origin.message);
      event = run.messages.sentEvent[origin.message];
    }
    return {steps, before, tree, origin};
  }
  led(message, depth, steps) {
    const m = this.run.messages;
    if (m.read[message] === NEVER || depth > DEPTH_MAX) return [];
    const next = this.effects(this.run.eventAt(m.readEvent[message])).messages;
    const answer = m.answer[message];
    if (answer >= 0 && !next.includes(answer)) next.push(answer);
    return this.branches(next, depth, steps);
  }
  branches(messages, depth, steps) {
    const branches = [];
    for (const i of messages) {
      if (steps.has(i) || steps.size > FOLLOWED_MAX) continue;
      steps.set(i, depth);
      branches.push({i, children: null});
    }
    for (const branch of branches) {
      branch.children = this.led(branch.i, depth + 1, steps);
    }
    return branches;
  }
}
