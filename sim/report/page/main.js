// Puts it all together.

class App {
  constructor(run) {
    this.run = run;
    this.canvas = document.getElementById("picture");
    this.keys = document.getElementById("keys");
    this.tip = document.getElementById("tip");
    this.view = new View(run);
    this.lanes = new Lanes(run);
    this.messages = new Messages(run, this.lanes);
    this.marks = new Marks(run, this.lanes);
    this.follow = new Follow(run);
    this.overview = new Overview(run, this.lanes, this.marks,
                                 document.getElementById("overview"));
    this.selected = null;
    this.chain = null;
    this.pointer = null;
    this.marked = null;
    this.frame = 0;
    this.view.changed = () => this.redraw();
    this.details = new Details(run, this.follow,
                               document.getElementById("details"),
                               (s, go) => { this.select(s);
                                 if (go) this.goToSelected(true); });
    this.input = new Input(this);
    // Servers' own calls are many, and seldom of interest.
    shown.kv = run.violation?.calls.some(
        (c) => run.machines[run.calls.lane[c]].server) ?? false;
    new Legend(run, document.getElementById("legend"), this.marks, () => {
      this.resize();
    });
    this.tellHead();
    this.makeLabels();
    addEventListener("resize", () => this.resize());
    this.resize();
    this.open();
  }

  tellHead() {
    const run = this.run;
    const servers = run.machines.filter((m) => m.server).length;
    const facts = document.getElementById("facts");
    const part = run.from > 0 || run.to < run.end;
    facts.textContent = `${servers} servers, ${run.machines.length - servers} ` +
        `clients; ${(run.end / 1e9).toFixed(1)} s, ` +
        `${countText(run.endEvent)} events` +
        (part ? `; shown: ${timeText(run.from, 1e6)} to ` +
            timeText(run.to, 1e6) : "");
    if (run.violation === null) return;
    const verdict = document.getElementById("verdict");
    verdict.hidden = false;
    verdict.querySelector("strong").textContent =
        `${run.violation.live ? "Violation" : "Not live"} at ` +
        `${timeText(run.violation.time)}, event ` +
        `#${countText(run.violation.event)}`;
    verdict.querySelector("span").textContent = run.violation.what;
  }

  makeLabels() {
    const root = document.getElementById("labels");
    for (const lane of this.lanes.lanes) {
      const div = element("div");
      const button = element("button", lane.machine.name);
      button.setAttribute("aria-pressed", "true");
      button.title = "Hide or show this lane";
      button.addEventListener("click", () => {
        lane.hidden = !lane.hidden;
        button.setAttribute("aria-pressed", String(!lane.hidden));
        this.resize();
      });
      if (this.run.violation?.lanes.includes(lane.machine.lane)) {
        div.className = "party";
      }
      lane.small = element("small");
      div.append(button, lane.small);
      root.append(div);
      lane.label = div;
    }
  }
  placeLabels() {
    for (const lane of this.lanes.lanes) {
      lane.label.style.top = `${lane.hidden ? lane.top - 3 : lane.top - 2}px`;
    }
  }
  // What the servers are at the mouse, or at the right end.
  tellStates() {
    const t = this.pointer === null ? Math.min(this.view.t1, this.run.to)
        : this.view.t(this.pointer.x);
    const s = this.run.states;
    for (const lane of this.lanes.lanes) {
      let text = "";
      const i = lane.machine.server
          ? this.lanes.stateAt(lane.machine.lane, t) : -1;
      if (i >= 0 && !lane.hidden) {
        const looks = this.run.looks[s.looks[i]];
        text = s.looks[i] < 2 ? looks
            : `${looks}, term ${s.term[i]}\n` +
              `log ${s.last[i]}, commit ${s.commit[i]}`;
      }
      if (lane.told !== text) {
        lane.told = text;
        lane.small.style.whiteSpace = "pre";
        lane.small.textContent = text;
      }
    }
    const cursor = document.getElementById("cursor");
    const place = lowerBound(this.run.events.time, t + 1) - 1;
    const number = place >= 0 ? this.run.events.number[place] : 0;
    cursor.textContent = this.pointer === null ? ""
        : `${timeText(t)}, after event #${countText(number)}`;
    document.getElementById("span").textContent =
        `${lengthText(this.view.span)} shown, ` +
        `${countText(this.messages.visible.length)} arrows`;
  }

  resize() {
    const stage = document.getElementById("stage");
    const height = stage.clientHeight - 1;
    this.height = this.lanes.layout(height);
    this.view.left = 176;
    this.view.width = Math.max(200, stage.clientWidth - this.view.left - 8);
    const scale = devicePixelRatio;
    this.canvas.style.width = `${stage.clientWidth}px`;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(stage.clientWidth * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.overview.prepare();
    this.placeLabels();
    this.redraw();
  }

  // Where the address says (#at=3.25s, #at=33120), around the violation, or all
  // of it.
  open() {
    const at = /^#at=(.+)$/.exec(location.hash);
    const v = this.run.violation;
    if (v === null) {
      const all = Math.max(this.run.to - this.run.from, 2000);
      this.view.set(this.run.from - all * 0.01, this.run.to + all * 0.01);
    } else {
      this.view.set(...this.aroundViolation());
    }
    if (at !== null) this.goTo(at[1]);
  }
  // As much before it as holds some 100 messages, and its calls if they aren't
  // much longer.
  aroundViolation() {
    const v = this.run.violation;
    const sent = this.run.messages.sent;
    const last = lowerBound(sent, v.time + 1);
    let before = last > 0
        ? v.time - sent[Math.max(0, last - 110)] : v.time - this.run.from;
    before = Math.min(Math.max(before, 3e6), 2e9);
    for (const call of v.calls) {
      const length = v.time - this.run.calls.begun[call];
      if (length < before * 6) before = Math.max(before, length * 1.1);
    }
    return [v.time - before, v.time + before * 0.25];
  }
  goToViolation() {
    if (this.run.violation !== null) this.view.fly(...this.aroundViolation());
  }

  goTo(text) {
    const time = /^(\d+(?:\.\d+)?) ?(ms|s)$/.exec(text);
    const event = /^#?([\d,]+)$/.exec(text);
    if (time !== null) {
      const t = Number(time[1]) * (time[2] === "s" ? 1e9 : 1e6);
      const span = Math.min(this.view.span, 200e6);
      this.view.fly(t - span / 2, t + span / 2);
    } else if (event !== null) {
      const i = this.run.eventAt(Number(event[1].replaceAll(",", "")));
      if (i < 0) return;
      this.select({type: "event", i});
      const span = Math.min(this.view.span, 20e6);
      const t = this.run.events.time[i];
      this.view.fly(t - span / 2, t + span / 2);
    }
  }

  select(selected) {
    this.selected = selected;
    this.chain = selected === null ? null : this.follow.chain(selected);
    this.details.show(selected, this.chain);
    if (selected !== null) document.querySelector("aside").scrollTop = 0;
    this.redraw();
  }
  // From when to when what is selected goes on.
  selectedTimes() {
    const run = this.run;
    const i = this.selected.i;
    switch (this.selected.type) {
      case "message": return [run.messages.sent[i], run.messages.tip[i]];
      case "call":
        return [run.calls.begun[i], Math.min(run.calls.ended[i], run.to)];
      case "disk":
        return [run.disk.begun[i], Math.min(run.disk.ended[i], run.to)];
      case "mark": return [run.marks.at[i], run.marks.at[i]];
      case "note": return [run.notes.at[i], run.notes.at[i]];
      default: return [run.events.time[i], run.events.time[i]];
    }
  }
  // `unlessSeen`: not if it is well on the screen already.
  goToSelected(unlessSeen = false) {
    if (this.selected === null) return;
    const [a, b] = this.selectedTimes();
    const margin = this.view.span * 0.05;
    if (unlessSeen && a > this.view.t0 + margin && b < this.view.t1 - margin) {
      return;
    }
    const span = Math.max(this.view.span, (b - a) * 2.5);
    this.view.fly((a + b) / 2 - span / 2, (a + b) / 2 + span / 2);
  }
  // Along what is followed, or from fault to fault.
  next(direction) {
    if (this.selected !== null && this.selected.type === "message" &&
        this.chain.steps.size > 1) {
      const sent = this.run.messages.sent;
      const steps = [...this.chain.steps.keys()].sort(
          (a, b) => sent[a] - sent[b] || a - b);
      const at = steps.indexOf(this.selected.i) + direction;
      if (at < 0 || at >= steps.length) return;
      this.select({type: "message", i: steps[at]});
      return this.goToSelected(true);
    }
    const at = this.run.marks.at;
    const t = this.selected?.type === "mark" ? at[this.selected.i]
        : (this.view.t0 + this.view.t1) / 2;
    const faults = this.marks.faults;
    const i = direction > 0 ? faults.find((f) => at[f] > t)
        : faults.findLast((f) => at[f] < t);
    if (i === undefined) return;
    this.select({type: "mark", i});
    this.view.center(at[i]);
  }

  hit(x, y) {
    if (x < this.view.left) return null;
    const point = this.marks.hit(x, y);
    if (point !== null) {
      return point.mark !== undefined ? {type: "mark", i: point.mark}
                                      : {type: "note", i: point.note};
    }
    const onLane = this.lanes.lanes.find(
        (lane) => !lane.hidden && y >= lane.top && y <= lane.bottom);
    if (onLane === undefined) {
      const i = this.messages.hit(x, y, this.view);
      return i === null ? null : {type: "message", i};
    }
    return this.hitOnLane(x, y, onLane);
  }
  hitOnLane(x, y, lane) {
    const run = this.run;
    const view = this.view;
    const near = view.perPixel() * 2;
    const t = view.t(x);
    let found = null;
    run.calls.spans.visit(t - near, t + near, (i) => {
      if (run.calls.lane[i] !== lane.machine.lane || !this.lanes.callShown(i)) {
        return;
      }
      const box = this.lanes.callBox(i, view);
      if (y >= box.y - 1 && y <= box.y + box.h + 1) found = {type: "call", i};
    });
    if (found !== null || !lane.machine.server) return found;
    const disk = this.lanes.diskTop(lane);
    if (shown.disk && y >= disk - 1 && y <= disk + DISK_ROW + 1) {
      run.disk.spans.visit(t - near, t + near, (i) => {
        if (run.disk.lane[i] === lane.machine.lane &&
            Boolean(run.disk.sync[i]) === y > disk + 2.5) {
          found = {type: "disk", i};
        }
      });
      return found;
    }
    if (y > lane.top + BAND || !shown.events) return null;
    const e = run.events;
    let nearest = 4 * view.perPixel();
    for (let i = lowerBound(e.time, t - nearest);
         i < e.count && e.time[i] <= t + nearest; ++i) {
      if (e.lane[i] !== lane.machine.lane) continue;
      if (Math.abs(e.time[i] - t) < nearest) {
        nearest = Math.abs(e.time[i] - t);
        found = {type: "event", i};
      }
    }
    return found;
  }

  hover(point) {
    this.pointer = point;
    this.redraw();
    if (point === null) {
      this.tip.hidden = true;
      return;
    }
    const lines = this.tipText(point);
    this.tip.hidden = lines === null;
    this.canvas.style.cursor = lines?.click ? "pointer" : "";
    if (lines === null) return;
    this.tip.replaceChildren(element("b", lines.title),
                             ...lines.rest.map((r) => element("i", r)));
    const box = this.tip.getBoundingClientRect();
    let x = point.clientX + 16;
    let y = point.clientY + 16;
    if (x + box.width > innerWidth - 8) x = point.clientX - box.width - 12;
    if (y + box.height > innerHeight - 8) y = point.clientY - box.height - 12;
    this.tip.style.left = `${Math.max(4, x)}px`;
    this.tip.style.top = `${Math.max(4, y)}px`;
  }
  tipText(point) {
    const run = this.run;
    const hit = this.hit(point.x, point.y);
    if (hit === null) return this.tipOfPlace(point);
    const i = hit.i;
    const out = {title: "", rest: [], click: true};
    if (hit.type === "message") {
      const m = run.messages;
      out.title = this.details.messageName(i);
      out.rest = [m.text.at(i), m.arrived[i] < NEVER
          ? `sent ${timeText(m.sent[i])}, ` +
            `${lengthText(m.arrived[i] - m.sent[i])} on its way`
          : `sent ${timeText(m.sent[i])}, never arrived`];
    } else if (hit.type === "call") {
      const c = run.calls;
      out.title = `${c.what.at(i)} ${c.text.at(i)}`;
      out.rest = [c.result.at(i), lengthText(c.ended[i] - c.begun[i])];
    } else if (hit.type === "disk") {
      const d = run.disk;
      out.title = d.text.at(i);
      out.rest = [`${lengthText(d.ended[i] - d.begun[i])}` +
          (d.died[i] ? "; its process died" : "")];
    } else if (hit.type === "mark") {
      out.title = run.marks.text.at(i);
      out.rest = [timeText(run.marks.at[i])];
    } else if (hit.type === "note") {
      out.title = run.notes.text.at(i);
      out.rest = [timeText(run.notes.at[i])];
    } else {
      out.title = `event #${countText(run.events.number[i])}, ` +
          this.follow.kind(i);
      out.rest = [timeText(run.events.time[i])];
    }
    return out;
  }
  tipOfPlace(point) {
    if (point.x < this.view.left) return null;
    const heap = this.messages.heapAt(point.x, point.y, this.view);
    if (heap !== null) {
      return {
        title: `${this.run.machines[heap.lane].name} sent in ` +
            lengthText(heap.per),
        rest: heap.found.map(([n, g]) => `${n} ${this.run.groups[g]}`),
      };
    }
    const lane = this.lanes.lanes.find((l) => !l.hidden &&
        l.machine.server && point.y >= l.top - 8 && point.y <= l.top + BAND);
    if (lane === undefined) return null;
    const t = this.view.t(point.x);
    const i = this.lanes.stateAt(lane.machine.lane, t);
    if (i < 0) return null;
    const s = this.run.states;
    const rest = s.looks[i] < 2 ? [] : [
      `term ${s.term[i]}, ` + (s.vote[i] ? `voted for ${s.vote[i]}, ` : "") +
          (s.leader[i] ? `leader ${s.leader[i]}` : "no leader known"),
      `log up to ${s.last[i]}, durable ${s.durable[i]}, commit ${s.commit[i]}`,
    ];
    for (const cut of this.marks.cuts[lane.machine.lane]) {
      if (cut.from <= t && t <= cut.to) rest.push(cut.text);
    }
    for (const pause of this.marks.pauses[lane.machine.lane]) {
      if (pause.from <= t && t <= pause.to) rest.push("paused");
    }
    return {title: `${lane.machine.name}: ${this.run.looks[s.looks[i]]}`, rest};
  }

  redraw() {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => this.draw());
  }
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const ctx = this.canvas.getContext("2d");
    const scale = devicePixelRatio;
    const view = this.view;
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.globalAlpha = 1;
    ctx.fillStyle = "#fff";
    ctx.fillRect(0, 0, this.canvas.width, this.canvas.height);
    drawAxis(ctx, view, this.height);
    ctx.save();
    ctx.beginPath();
    ctx.rect(view.left, 0, view.width, this.height);
    ctx.clip();
    if (view.t1 > this.run.to) {
      ctx.fillStyle = "#f4f5f3";
      ctx.fillRect(view.x(this.run.to), AXIS - 6, view.width, this.height);
    }
    this.lanes.drawBands(ctx, view);
    this.marks.drawStretches(ctx, view);
    this.lanes.draw(ctx, view);
    const following = this.chain !== null && this.chain.steps.size > 0;
    ctx.globalAlpha = following ? 0.13 : 1;
    this.messages.draw(ctx, view);
    ctx.globalAlpha = 1;
    const arrows = this.messages.visible;
    if (following) {
      this.drawChain(ctx);
    } else if (arrows.length <= 70) {
      this.messages.drawNames(ctx, view, arrows);
    }
    this.marks.drawCutNames(ctx, view);
    this.marks.drawPoints(ctx, view);
    this.marks.drawViolation(ctx, view, this.height);
    this.drawSelected(ctx);
    this.drawPointer(ctx);
    ctx.restore();
    this.overview.draw(view);
    this.tellStates();
  }
  drawChain(ctx) {
    const m = this.run.messages;
    const steps = [...this.chain.steps].sort(
        (a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    for (const [i, depth] of steps) {
      if (m.tip[i] < this.view.t0 || m.sent[i] > this.view.t1) continue;
      ctx.globalAlpha = Math.max(0.5, 1 - 0.12 * Math.abs(depth));
      this.messages.drawOne(ctx, this.view, i, depth === 0 ? 3 : 1.7);
    }
    ctx.globalAlpha = 1;
    if (steps.length <= 40) {
      this.messages.drawNames(ctx, this.view, steps.map(([i]) => i));
    }
  }
  drawSelected(ctx) {
    if (this.selected === null) return;
    const {type, i} = this.selected;
    ctx.strokeStyle = INK;
    ctx.lineWidth = 1.5;
    if (type === "call") {
      const box = this.lanes.callBox(i, this.view);
      ctx.strokeRect(box.x - 1.5, box.y - 1.5, box.w + 3, box.h + 3);
    } else if (type !== "message") {
      const column = {disk: this.run.disk, mark: this.run.marks,
                      note: this.run.notes, event: this.run.events}[type];
      const lane = this.lanes.lanes[column.lane[i]];
      if (lane === undefined || lane.hidden) return;
      const [a, b] = this.selectedTimes();
      const x0 = this.view.x(a) - 3;
      ctx.strokeRect(x0, lane.top - 3, this.view.x(b) + 3 - x0,
                     lane.height + 6);
    }
  }
  drawPointer(ctx) {
    if (this.marked !== null) {
      ctx.fillStyle = "rgb(0 114 178 / 12%)";
      const [a, b] = this.marked;
      ctx.fillRect(Math.min(a, b), AXIS - 6, Math.abs(b - a), this.height);
    } else if (this.pointer !== null && this.pointer.x >= this.view.left) {
      ctx.fillStyle = "rgb(31 41 51 / 18%)";
      ctx.fillRect(Math.round(this.pointer.x), AXIS - 6, 1, this.height);
    }
  }
}

const pageErrors = [];
addEventListener("error", (e) => pageErrors.push(e.message));
const app = new App(loadRun(JSON.parse(
    document.getElementById("run").textContent)));
if (location.hash === "#check") {
  app.draw();
  checkPage(app, pageErrors);
}
