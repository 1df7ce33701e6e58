// What stands beside the picture: the legend, in which things are turned off
// and on, and the details of what was clicked.

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className !== undefined) e.className = className;
  return e;
}

// A small picture of `draw`'s making.
function swatch(draw, width = 26, height = 14) {
  const canvas = document.createElement("canvas");
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  draw(ctx);
  return canvas;
}

class Legend {
  constructor(run, root, marks, changed) {
    this.run = run;
    this.root = root;
    this.marks = marks;
    this.changed = changed;
    this.roles();
    this.messages();
    this.rest();
  }
  head(text) {
    this.root.append(element("h2", text));
    this.box = element("div", undefined, "grid");
    this.root.append(this.box);
  }
  key(picture, text) {
    const row = element("div", undefined, "key");
    row.append(picture, element("span", text));
    this.box.append(row);
  }
  toggle(picture, text, get, set, count) {
    const row = element("label");
    const input = element("input");
    input.type = "checkbox";
    input.checked = get();
    input.addEventListener("change", () => {
      set(input.checked);
      this.changed();
    });
    row.append(input, picture, element("span", text));
    if (count !== undefined) row.append(element("output", countText(count)));
    this.box.append(row);
  }
  roles() {
    this.head("Servers");
    for (const looks of [6, 5, 4, 2, 3, 1, 0]) {
      this.key(swatch((ctx) => {
        ctx.fillStyle = LOOKS[looks].fill ?? "#fff";
        ctx.fillRect(0, 2, 26, 11);
        if (LOOKS[looks].fill === null) {
          ctx.fillStyle = "#aab4bd";
          for (let x = 1; x < 26; x += 7) ctx.fillRect(x, 7, 3, 1);
        }
      }), this.run.looks[looks]);
    }
  }
  messages() {
    const counts = GROUPS.map(() => 0);
    let lost = 0;
    const m = this.run.messages;
    for (let i = 0; i < m.count; ++i) {
      ++counts[m.group[i]];
      if (m.arrived[i] === NEVER) ++lost;
    }
    this.head("Messages");
    this.box.className = "";
    GROUPS.forEach((group, g) => {
      // Streams are either plaintext or ciphertext.
      if (this.run.groups[g] === "TLS record" && counts[g] === 0) return;
      this.toggle(swatch((ctx) => arrowSwatch(ctx, group.color)),
                  this.run.groups[g], () => shown.group[g],
                  (on) => { shown.group[g] = on; }, counts[g]);
    });
    this.toggle(swatch((ctx) => arrowSwatch(ctx, SOFT, true)),
                "of these, never arrived", () => shown.lost,
                (on) => { shown.lost = on; }, lost);
  }
  rest() {
    this.head("Faults");
    this.toggle(this.glyph("power"), "marks", () => shown.faults,
                (on) => { shown.faults = on; });
    this.toggle(swatch((ctx) => {
      ctx.fillStyle = FAULT;
      ctx.fillRect(0, 6, 26, 2);
    }), "cut links", () => shown.cuts, (on) => { shown.cuts = on; });
    const seen = new Set();
    for (let i = 0; i < this.run.marks.count; ++i) {
      seen.add(this.run.marks.kind.at(i));
    }
    for (const [kind, mark] of Object.entries(MARKS)) {
      if (seen.has(kind)) this.key(this.glyph(kind), mark.name);
    }
    this.head("On the lanes");
    const bar = (color) => swatch((ctx) => {
      ctx.fillStyle = color;
      ctx.fillRect(0, 4, 26, 6);
    });
    this.toggle(bar(CALLS.append), "clients\u2019 calls", () => shown.calls,
                (on) => { shown.calls = on; });
    this.toggle(bar(CALLS.read), "servers\u2019 own", () => shown.kv,
                (on) => { shown.kv = on; });
    this.toggle(bar(DISK[2]), "disk", () => shown.disk,
                (on) => { shown.disk = on; });
    this.toggle(swatch((ctx) => {
      ctx.strokeStyle = "#7b8894";
      ctx.beginPath();
      for (const [x, y] of [[0, 12], [8, 12], [8, 7], [17, 7], [17, 3],
                            [26, 3]]) ctx.lineTo(x, y);
      ctx.stroke();
    }), "commit index", () => shown.commit, (on) => { shown.commit = on; });
    this.toggle(swatch((ctx) => {
      ctx.fillStyle = "#4a5866";
      ctx.fillRect(12, 4, 1.5, 6);
    }), "notes", () => shown.notes, (on) => { shown.notes = on; });
    this.toggle(swatch((ctx) => {
      ctx.fillStyle = "rgb(31 41 51 / 45%)";
      for (const x of [6, 12, 15, 21]) ctx.fillRect(x, 5, 1, 4);
    }), "events", () => shown.events, (on) => { shown.events = on; });
    this.key(swatch((ctx) => {
      ctx.strokeStyle = CALLS.append;
      ctx.strokeRect(1, 4.5, 24, 5);
    }), "rejected");
    this.key(swatch((ctx) => {
      ctx.fillStyle = CALLS.append;
      ctx.globalAlpha = 0.35;
      ctx.fillRect(0, 4, 26, 6);
      ctx.globalAlpha = 1;
      for (let x = 0; x < 26; x += 5) ctx.fillRect(x, 4, 2, 6);
    }), "unknown, failed");
  }
  glyph(kind) {
    return swatch((ctx) => this.marks.glyph(ctx, kind, 13, 7));
  }
}

function arrowSwatch(ctx, color, lost) {
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.lineWidth = 1.6;
  if (lost) ctx.setLineDash([4, 3]);
  ctx.beginPath();
  ctx.moveTo(1, 7);
  ctx.lineTo(19, 7);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.beginPath();
  if (lost) {
    ctx.strokeStyle = FAULT;
    ctx.moveTo(19, 4);
    ctx.lineTo(25, 10);
    ctx.moveTo(25, 4);
    ctx.lineTo(19, 10);
    ctx.stroke();
    return;
  }
  ctx.moveTo(25, 7);
  ctx.lineTo(18, 3.6);
  ctx.lineTo(18, 10.4);
  ctx.fill();
}

class Details {
  constructor(run, follow, root, select) {
    this.run = run;
    this.follow = follow;
    this.root = root;
    this.select = select;
  }
  link(text, selected) {
    const a = element("a", text);
    a.addEventListener("click", () => this.select(selected, true));
    return a;
  }
  list(pairs) {
    const dl = element("dl");
    for (const [name, value] of pairs) {
      if (value === undefined || value === "") continue;
      dl.append(element("dt", name), element("dd", value));
    }
    this.root.append(dl);
  }
  paragraph(text, className) {
    this.root.append(element("p", text, className));
  }
  moment(event, time) {
    return time === NEVER ? "never"
        : `${timeText(time)}, event #${countText(event)}`;
  }
  name(lane) {
    return lane < 0 ? "world" : this.run.machines[lane].name;
  }
  messageName(i) {
    const m = this.run.messages;
    return `${m.name.at(i)}, ${this.name(m.from[i])} \u2192 ` +
        this.name(m.to[i]);
  }

  show(selected, chain) {
    this.root.replaceChildren();
    if (selected === null) return;
    this.root.append(element("h2", "Followed"));
    const event = this[selected.type](selected.i, chain);
    if (event > 0 && event < NEVER) {
      this.root.append(element("h2", "Stop there"));
      this.root.append(element("code",
          `${this.run.command} --goto=${event} --dump`));
    }
  }
  message(i, chain) {
    const m = this.run.messages;
    this.paragraph(m.name.at(i), "title");
    this.paragraph(`${this.name(m.from[i])} \u2192 ${this.name(m.to[i])}`,
                   "soft");
    this.paragraph(m.text.at(i));
    this.list([
      ["sent", this.moment(m.sentEvent[i], m.sent[i])],
      ["arrived", this.moment(m.arrivedEvent[i], m.arrived[i])],
      ["taken", this.moment(m.readEvent[i], m.read[i])],
      ["on its way", m.arrived[i] < NEVER
          ? lengthText(m.arrived[i] - m.sent[i]) : ""],
      ["bytes", countText(m.bytes[i])],
    ]);
    if (m.answer[i] >= 0) {
      const p = element("p", "answered by ");
      p.append(this.link(m.name.at(m.answer[i]),
                         {type: "message", i: m.answer[i]}));
      this.root.append(p);
    } else if (m.question[i] >= 0) {
      const p = element("p", "answers ");
      p.append(this.link(m.name.at(m.question[i]),
                         {type: "message", i: m.question[i]}));
      this.root.append(p);
    }
    this.because(chain);
    const read = m.read[i] < NEVER ? this.run.eventAt(m.readEvent[i]) : -1;
    this.ledTo(chain, this.follow.effects(read));
    return m.read[i] < NEVER ? m.readEvent[i] : m.sentEvent[i];
  }
  because(chain) {
    if (chain.before.length === 0 && chain.origin === null) return;
    this.root.append(element("h2", "Because of"));
    const ol = element("ol");
    for (const i of chain.before) {
      const li = element("li");
      li.append(this.link(this.messageName(i), {type: "message", i}));
      ol.append(li);
    }
    const origin = chain.origin;
    if (origin !== null && origin.call !== undefined) {
      const c = this.run.calls;
      const li = element("li");
      li.append(this.link(
          `${c.what.at(origin.call)} of ${this.name(c.lane[origin.call])}`,
          {type: "call", i: origin.call}));
      ol.append(li);
    } else if (origin !== null && origin.kind !== undefined) {
      const e = this.run.events;
      ol.append(element("li", `a ${origin.kind} of ` +
          `${this.name(e.lane[origin.event])}, event ` +
          `#${countText(e.number[origin.event])}`, "soft"));
    }
    this.root.append(ol);
  }
  ledTo(chain, effects) {
    const disk = [...new Set(effects.disk)];
    if (chain.tree.length + disk.length + effects.states.length +
        effects.calls.length === 0) {
      return;
    }
    this.root.append(element("h2", "Led to"));
    const ol = element("ol");
    const states = this.run.states;
    for (const s of effects.states.slice(0, 4)) {
      ol.append(element("li", `${this.name(states.lane[s])}: ` +
          `${this.run.looks[states.looks[s]]}, term ${states.term[s]}, ` +
          `log ${states.last[s]} (${states.durable[s]} durable), commit ` +
          `${states.commit[s]}`, "soft"));
    }
    for (const d of disk.slice(0, 8)) {
      const li = element("li");
      li.append(this.link(this.run.disk.text.at(d), {type: "disk", i: d}));
      ol.append(li);
    }
    for (const c of effects.calls) {
      const li = element("li");
      li.append(this.link(`${this.run.calls.what.at(c)}: ` +
          this.run.calls.result.at(c), {type: "call", i: c}));
      ol.append(li);
    }
    this.branches(chain.tree, ol);
    this.root.append(ol);
  }
  branches(tree, ol) {
    for (const branch of tree) {
      const li = element("li");
      li.append(this.link(this.messageName(branch.i),
                          {type: "message", i: branch.i}));
      if (branch.children.length > 0) {
        const inner = element("ol");
        this.branches(branch.children, inner);
        li.append(inner);
      }
      ol.append(li);
    }
  }
  call(i, chain) {
    const c = this.run.calls;
    this.paragraph(`${c.what.at(i)} of ${this.name(c.lane[i])}`, "title");
    this.paragraph(c.text.at(i), "soft");
    this.paragraph(c.result.at(i));
    this.list([
      ["called", this.moment(c.begunEvent[i], c.begun[i])],
      ["ended", this.moment(c.endedEvent[i], c.ended[i])],
      ["took", lengthText(c.ended[i] - c.begun[i])],
    ]);
    this.because(chain);
    this.ledTo(chain, this.follow.effects(this.run.eventAt(c.begunEvent[i])));
    return c.ended[i] < NEVER ? c.endedEvent[i] : c.begunEvent[i];
  }
  disk(i, chain) {
    const d = this.run.disk;
    this.paragraph(d.text.at(i), "title");
    this.paragraph(`the disk of ${this.name(d.lane[i])}`, "soft");
    if (d.died[i]) this.paragraph("its process died before it was done");
    this.list([
      ["begun", this.moment(d.begunEvent[i], d.begun[i])],
      ["done", this.moment(d.endedEvent[i], d.ended[i])],
      ["took", lengthText(d.ended[i] - d.begun[i])],
    ]);
    this.because(chain);
    this.ledTo(chain, this.follow.effects(this.run.eventAt(d.endedEvent[i])));
    return d.ended[i] < NEVER ? d.endedEvent[i] : d.begunEvent[i];
  }
  mark(i) {
    const k = this.run.marks;
    this.paragraph(k.text.at(i), "title");
    this.list([["when", this.moment(k.event[i], k.at[i])]]);
    this.facts(k.event[i]);
    return k.event[i];
  }
  note(i) {
    const n = this.run.notes;
    this.paragraph(n.text.at(i));
    this.list([["when", this.moment(n.event[i], n.at[i])]]);
    this.facts(n.event[i]);
    return n.event[i];
  }
  event(i) {
    const e = this.run.events;
    this.paragraph(`Event #${countText(e.number[i])}`, "title");
    this.list([
      ["whose", this.name(e.lane[i])], ["kind", this.follow.kind(i)],
      ["when", timeText(e.time[i])],
    ]);
    const cause = this.run.eventAt(e.cause[i]);
    if (cause >= 0) {
      const p = element("p", "scheduled by ");
      p.append(this.link(`event #${countText(e.cause[i])}`,
                         {type: "event", i: cause}));
      this.root.append(p);
    }
    this.facts(e.number[i]);
    return e.number[i];
  }
  // All that is known of one event.
  facts(number) {
    const i = this.run.eventAt(number);
    if (i < 0) return;
    const index = this.follow.index;
    const rows = [];
    const add = (prefix, places, type, text) => {
      for (const p of places) rows.push([prefix + text(p), {type, i: p}]);
    };
    const message = (p) => this.messageName(p);
    add("takes ", index.read.of(i), "message", message);
    add("arrives: ", index.arrived.of(i), "message", message);
    add("done: ", index.diskEnded.of(i), "disk", (p) => this.run.disk.text.at(p));
    add("sends ", index.sent.of(i), "message", message);
    add("begins ", index.diskBegun.of(i), "disk",
        (p) => this.run.disk.text.at(p));
    add("calls ", index.called.of(i), "call", (p) => this.run.calls.what.at(p));
    add("", index.returned.of(i), "call", (p) =>
        `${this.run.calls.what.at(p)}: ${this.run.calls.result.at(p)}`);
    add("", index.marks.of(i), "mark", (p) => this.run.marks.text.at(p));
    add("", index.notes.of(i), "note", (p) => this.run.notes.text.at(p));
    if (rows.length === 0) return;
    this.root.append(element("h2", "In this event"));
    const ol = element("ol");
    for (const [text, selected] of rows.slice(0, 40)) {
      const li = element("li");
      li.append(this.link(text, selected));
      ol.append(li);
    }
    this.root.append(ol);
  }
}
