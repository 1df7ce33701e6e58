"use strict";

// The run as the simulator wrote it (page_data.cc), in typed arrays. Times are
// nanoseconds since the world began. What never happened has time Infinity.

const NEVER = Infinity;

function sums(differences) {
  const out = new Float64Array(differences.length);
  let at = 0;
  for (let i = 0; i < out.length; ++i) out[i] = at += differences[i];
  return out;
}

// What is told relative to another column.
function since(column, base) {
  const out = new Float64Array(column.length);
  for (let i = 0; i < out.length; ++i) {
    out[i] = column[i] < 0 ? NEVER : base[i] + column[i];
  }
  return out;
}

// For each of n keys, the places in `keys` that have it: of(key) lists them.
function grouped(keys, n) {
  const start = new Int32Array(n + 2);
  for (const k of keys) if (k >= 0 && k < n) ++start[k + 2];
  for (let k = 2; k < n + 2; ++k) start[k] += start[k - 1];
  const items = new Int32Array(start[n + 1]);
  for (let i = 0; i < keys.length; ++i) {
    const k = keys[i];
    if (k >= 0 && k < n) items[start[k + 1]++] = i;
  }
  return {
    of: (k) => (k >= 0 && k < n ? items.subarray(start[k], start[k + 1]) : []),
  };
}

// The first place in a rising column whose value isn't less.
function lowerBound(column, value) {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

// Things with a beginning and an end, in the order of their beginnings: visits
// those that meet [from, to].
class Spans {
  constructor(begun, ended) {
    this.begun = begun;
    this.ended = ended;
    this.block = 256;
    this.latest = [];  // of each block
    for (let i = 0; i < begun.length; ++i) {
      const b = Math.floor(i / this.block);
      this.latest[b] = Math.max(this.latest[b] ?? -1, ended[i]);
    }
  }
  visit(from, to, fn) {
    const end = lowerBound(this.begun, to + 1);
    for (let b = 0; b * this.block < end; ++b) {
      if (this.latest[b] < from) continue;
      const last = Math.min(end, (b + 1) * this.block);
      for (let i = b * this.block; i < last; ++i) {
        if (this.ended[i] >= from) fn(i);
      }
    }
  }
}

function loadRun(raw) {
  const run = {
    seed: raw.seed, command: raw.command, from: raw.from, to: raw.to,
    end: raw.end, endEvent: raw.endEvent, kinds: raw.kinds,
    groups: raw.groups, looks: raw.looks, machines: [],
  };
  // Lanes, in order; other columns name them by their place.
  const place = new Map();
  const addMachine = (id, name, server) => {
    place.set(id, run.machines.length);
    run.machines.push({id, name, server, lane: run.machines.length});
  };
  for (let i = 1; i <= raw.servers; ++i) addMachine(i, `server ${i}`, true);
  for (let i = 0; i < raw.clients; ++i) {
    addMachine(raw.firstClient + i, `client ${i + 1}`, false);
  }
  run.laneOf = (id) => place.get(id) ?? -1;
  const lanes = (column) => Int32Array.from(column, run.laneOf);
  const texts = (column) => ({
    at: (i) => raw.texts[column[i]],
    number: column,
  });

  const e = raw.events;
  run.events = {
    count: e.count, number: sums(e.number), time: sums(e.time),
    lane: lanes(e.machine), kind: Uint8Array.from(e.kind),
  };
  run.events.cause = run.events.number.map((n, i) => n - e.back[i]);
  const first = e.count > 0 ? run.events.number[0] : 0;
  // The place of an event by its number; -1: outside of the window.
  run.eventAt = (number) => {
    const i = number - first;
    return i >= 0 && i < e.count ? i : -1;
  };

  run.messages = loadMessages(raw.messages, lanes, texts);
  run.disk = loadDisk(raw.disk, lanes, texts);
  run.calls = loadCalls(raw.calls, lanes, texts);
  const s = raw.states;
  run.states = {
    count: s.count, event: sums(s.atEvent), at: sums(s.at),
    lane: lanes(s.machine), looks: s.looks, term: s.term, vote: s.vote,
    leader: s.leader, commit: s.commit, last: s.last, durable: s.durable,
  };
  const k = raw.marks;
  run.marks = {
    count: k.count, event: sums(k.atEvent), at: sums(k.at),
    kind: texts(k.kind), lane: lanes(k.machine), other: lanes(k.other),
    length: k.length, text: texts(k.text),
  };
  const n = raw.notes;
  run.notes = {
    count: n.count, event: sums(n.atEvent), at: sums(n.at),
    lane: lanes(n.machine), text: texts(n.text),
  };
  run.violation = raw.violation;
  if (run.violation !== null) {
    run.violation.lanes = raw.violation.machines.map(run.laneOf);
  }
  return run;
}

function loadMessages(m, lanes, texts) {
  const out = {
    count: m.count, name: texts(m.name), group: Uint8Array.from(m.group),
    from: lanes(m.from), to: lanes(m.to), bytes: m.bytes, text: texts(m.text),
    sentEvent: sums(m.sentEvent), sent: sums(m.sent), answer: m.answer,
  };
  out.arrivedEvent = since(m.arrivedEvent, out.sentEvent);
  out.arrived = since(m.arrived, out.sent);
  out.readEvent = since(m.readEvent, out.sentEvent);
  out.read = since(m.read, out.sent);
  out.question = new Int32Array(m.count).fill(-1);
  for (let i = 0; i < m.count; ++i) {
    if (m.answer[i] >= 0) out.question[m.answer[i]] = i;
  }
  // Where its arrow ends; one that didn't arrive gets a stub.
  out.tip = out.arrived.map((t, i) => (t < NEVER ? t : out.sent[i] + 150e3));
  return out;
}

function loadDisk(d, lanes, texts) {
  const out = {
    count: d.count, lane: lanes(d.machine), what: texts(d.what),
    text: texts(d.text), begunEvent: sums(d.begunEvent), begun: sums(d.begun),
    died: d.died,
  };
  out.endedEvent = since(d.endedEvent, out.begunEvent);
  out.ended = since(d.ended, out.begun);
  out.spans = new Spans(out.begun, out.ended);
  out.sync = Uint8Array.from(out.begun, (_, i) => out.what.at(i) === "sync");
  // How each is drawn: a place in DISK.
  out.tone = Uint8Array.from(out.begun, (begun, i) => {
    const long = out.ended[i] - begun > SLOW_DISK && out.ended[i] < NEVER;
    if (long || d.died[i]) return 0;
    return DISK_TONES[out.what.at(i)] ?? 4;
  });
  return out;
}

function loadCalls(c, lanes, texts) {
  const out = {
    count: c.count, lane: lanes(c.machine), what: texts(c.what),
    text: texts(c.text), begunEvent: sums(c.begunEvent), begun: sums(c.begun),
    end: c.end, result: texts(c.result),
  };
  out.endedEvent = since(c.endedEvent, out.begunEvent);
  out.ended = since(c.ended, out.begun);
  out.spans = new Spans(out.begun, out.ended);
  // Rows within the lane, so that those at one time lie beside each other.
  out.row = new Int32Array(c.count);
  out.rows = new Map();
  const free = new Map();  // by lane: when each row is free again
  for (let i = 0; i < c.count; ++i) {
    const rows = free.get(out.lane[i]) ?? [];
    let row = rows.findIndex((until) => until <= out.begun[i]);
    if (row < 0) row = rows.length;
    rows[row] = out.ended[i];
    free.set(out.lane[i], rows);
    out.row[i] = row;
    out.rows.set(out.lane[i], rows.length);
  }
  return out;
}
