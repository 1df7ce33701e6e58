// What goes wrong: points and stretches of time on the lanes, and the moment
// at which the run broke.

// Of each kind of mark (page_data.cc): how much it matters where two meet, and
// whether it is a fault for the keys n and p.
const MARKS = {
  power: {rank: 9, fault: true, name: "power loss"},
  crash: {rank: 8, fault: true, name: "crash"},
  pause: {rank: 7, fault: true, name: "pause"},
  "other disk": {rank: 7, fault: true, name: "other disk"},
  hang: {rank: 6, fault: true, name: "disk hangs"},
  damage: {rank: 6, fault: true, name: "damage on disk"},
  "disk error": {rank: 6, fault: true, name: "disk error"},
  full: {rank: 6, fault: true, name: "disk full"},
  reset: {rank: 5, fault: true, name: "stream reset"},
  silence: {rank: 5, fault: true, name: "stream silent"},
  flip: {rank: 5, fault: true, name: "bit flipped"},
  slow: {rank: 4, fault: true, name: "slow link"},
  linger: {rank: 3, name: "late bytes"},
  start: {rank: 4, name: "start"},
  refused: {rank: 3, name: "dial refused"},
  room: {rank: 2, name: "room again"},
  fast: {rank: 2, name: "link fast again"},
  "disk loss": {rank: 2, name: "disk loss"},
};

// Those that are drawn as stretches only.
const STRETCHES = ["cut", "heal", "mend"];

class Marks {
  constructor(run, lanes) {
    this.run = run;
    this.lanes = lanes;
    this.pauses = run.machines.map(() => []);
    this.hangs = run.machines.map(() => []);
    this.cuts = run.machines.map(() => []);  // {from, to, text}
    this.faults = [];
    this.readStretches();
    this.boxes = [];  // of drawn points
  }
  readStretches() {
    const k = this.run.marks;
    const out = this.run.machines.map(() => new Set());
    const into = this.run.machines.map(() => new Set());
    const began = this.run.machines.map(() => 0);
    const told = (lane, t) => {
      if (t > began[lane] && out[lane].size + into[lane].size > 0) {
        this.cuts[lane].push({
          from: began[lane], to: t, text: this.cutText(out[lane], into[lane]),
        });
      }
      began[lane] = t;
    };
    for (let i = 0; i < k.count; ++i) {
      const kind = k.kind.at(i);
      const [lane, other, t] = [k.lane[i], k.other[i], k.at[i]];
      if (MARKS[kind]?.fault || kind === "cut") this.faults.push(i);
      if (kind === "pause") {
        this.pauses[lane].push({from: t, to: t + k.length[i]});
      } else if (kind === "hang") {
        this.hangs[lane].push({from: t, to: this.run.to});
      } else if (kind === "mend") {
        for (const hang of this.hangs[lane]) hang.to = Math.min(hang.to, t);
      } else if (kind === "cut" || kind === "heal") {
        told(lane, t);
        told(other, t);
        const change = kind === "cut" ? "add" : "delete";
        out[lane][change](other);
        into[other][change](lane);
      }
    }
    this.run.machines.forEach((m) => told(m.lane, this.run.to));
  }
  cutText(out, into) {
    const name = (lane) => this.run.machines[lane].name.replace("server ", "");
    const list = (set) => [...set].sort((a, b) => a - b).map(name).join(", ");
    const both = new Set([...out].filter((lane) => into.has(lane)));
    const parts = [];
    if (both.size > 0) parts.push(`cut off from ${list(both)}`);
    const only = (set) => new Set([...set].filter((lane) => !both.has(lane)));
    if (only(out).size > 0) parts.push(`nothing gets to ${list(only(out))}`);
    if (only(into).size > 0) parts.push(`hears nothing of ${list(only(into))}`);
    return parts.join("; ");
  }

  drawStretches(ctx, view) {
    for (const lane of this.lanes.lanes) {
      if (lane.hidden) continue;
      const l = lane.machine.lane;
      if (shown.cuts) this.drawCuts(ctx, view, lane);
      if (!shown.faults) continue;
      for (const pause of this.pauses[l]) {
        this.hatch(ctx, view, lane.top, BAND, pause, "paused");
      }
      for (const hang of this.hangs[l]) {
        this.hatch(ctx, view, this.lanes.diskTop(lane) - 1, DISK_ROW + 2, hang,
                   "");
      }
    }
  }
  clip(view, stretch) {
    if (stretch.to < view.t0 || stretch.from > view.t1) return null;
    const x0 = Math.max(view.left, view.x(stretch.from));
    const x1 = Math.min(view.left + view.width, view.x(stretch.to));
    return [x0, Math.max(x1, x0 + 1)];
  }
  drawCuts(ctx, view, lane) {
    ctx.fillStyle = FAULT;
    let before = -10;
    for (const cut of this.cuts[lane.machine.lane]) {
      const xs = this.clip(view, cut);
      if (xs === null || xs[1] < before + 0.8) continue;
      before = xs[1];
      ctx.fillRect(xs[0], lane.top - 4, xs[1] - xs[0], 2);
    }
  }
  // Over the arrows.
  drawCutNames(ctx, view) {
    for (const lane of this.lanes.lanes) {
      if (lane.hidden || !shown.cuts) continue;
      for (const cut of this.cuts[lane.machine.lane]) {
        this.drawCutName(ctx, view, lane, cut);
      }
    }
  }
  drawCutName(ctx, view, lane, cut) {
    const xs = this.clip(view, cut);
    if (xs === null) return;
    ctx.font = `10px ${FONT}`;
    ctx.textBaseline = "alphabetic";
    const w = ctx.measureText(cut.text).width;
    if (w + 20 > xs[1] - xs[0]) return;
    ctx.fillStyle = "rgb(255 255 255 / 85%)";
    ctx.fillRect(xs[0] + 12, lane.top - 16, w + 4, 11);
    ctx.fillStyle = FAULT;
    ctx.fillText(cut.text, xs[0] + 14, lane.top - 7);
  }
  hatch(ctx, view, y, h, stretch, text) {
    const xs = this.clip(view, stretch);
    if (xs === null) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(xs[0], y, xs[1] - xs[0], h);
    ctx.clip();
    ctx.fillStyle = "rgb(255 255 255 / 45%)";
    ctx.fillRect(xs[0], y, xs[1] - xs[0], h);
    ctx.strokeStyle = FAULT;
    ctx.globalAlpha *= 0.6;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let x = xs[0] - h; x < xs[1]; x += 6) {
      ctx.moveTo(x, y + h);
      ctx.lineTo(x + h, y);
    }
    ctx.stroke();
    ctx.restore();
    ctx.font = `11px ${FONT}`;
    ctx.textBaseline = "middle";
    const w = ctx.measureText(text).width;
    // At the right end: at the left one stands the role.
    if (text === "" || w + 150 > xs[1] - xs[0]) return;
    ctx.fillStyle = "#fff";
    ctx.fillRect(xs[1] - w - 14, y + 2, w + 8, h - 4);
    ctx.fillStyle = FAULT;
    ctx.fillText(text, xs[1] - w - 10, y + h / 2 + 0.5);
  }

  drawPoints(ctx, view) {
    this.boxes = [];
    const k = this.run.marks;
    if (shown.notes) this.drawNotes(ctx, view);
    if (!shown.faults) return;
    const first = lowerBound(k.at, view.t0 - view.perPixel() * 6);
    const last = lowerBound(k.at, view.t1 + view.perPixel() * 6);
    const points = [];
    for (let i = first; i < last; ++i) {
      const lane = this.lanes.lanes[k.lane[i]];
      const mark = MARKS[k.kind.at(i)];
      if (mark === undefined || lane === undefined || lane.hidden) continue;
      points.push({i, lane, x: view.x(k.at[i]), rank: mark.rank});
    }
    points.sort((a, b) => b.rank - a.rank);
    for (const p of points) {
      const box = {
        x: p.x - 5, y: p.lane.top - (p.lane.machine.server ? 9 : 12), w: 10,
        h: 10, mark: p.i,
      };
      if (this.boxes.some((b) => b.mark !== undefined && b.y === box.y &&
          Math.abs(b.x - box.x) < 8)) {
        continue;
      }
      this.boxes.push(box);
      this.glyph(ctx, k.kind.at(p.i), p.x, box.y + 5);
    }
  }
  drawNotes(ctx, view) {
    const n = this.run.notes;
    const first = lowerBound(n.at, view.t0);
    const last = lowerBound(n.at, view.t1);
    const before = new Float64Array(this.lanes.lanes.length).fill(-10);
    ctx.fillStyle = "#4a5866";
    for (let i = first; i < last; ++i) {
      const lane = this.lanes.lanes[n.lane[i]];
      const x = view.x(n.at[i]);
      if (lane === undefined || lane.hidden || x < before[n.lane[i]] + 3) {
        continue;
      }
      before[n.lane[i]] = x;
      ctx.fillRect(x - 0.75, lane.top - 1, 1.5, 5);
      this.boxes.push({x: x - 2, y: lane.top - 1, w: 4, h: 6, note: i});
    }
  }
  // 10 by 10, around x and y.
  glyph(ctx, kind, x, y) {
    ctx.save();
    ctx.translate(x, y);
    ctx.lineJoin = ctx.lineCap = "round";
    ctx.strokeStyle = "#fff";
    ctx.lineWidth = 4.5;
    const path = GLYPHS[kind] ?? GLYPHS.reset;
    ctx.stroke(path.path);
    ctx.strokeStyle = ctx.fillStyle = kind === "start" ? "#3c4854" : FAULT;
    ctx.lineWidth = 1.7;
    if (path.fill) ctx.fill(path.path); else ctx.stroke(path.path);
    ctx.restore();
  }

  drawViolation(ctx, view, height) {
    const v = this.run.violation;
    if (v === null || v.time < view.t0 || v.time > view.t1) return;
    const x = view.x(v.time);
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = BROKEN;
    ctx.lineWidth = 1.6;
    ctx.beginPath();
    ctx.moveTo(x, AXIS - 4);
    ctx.lineTo(x, height);
    ctx.stroke();
    for (const l of v.lanes) {
      const lane = this.lanes.lanes[l];
      if (lane === undefined || lane.hidden) continue;
      const h = lane.machine.server ? BAND : Math.min(lane.height, BAND);
      ctx.lineWidth = 2.2;
      ctx.strokeRect(x - 7, lane.top - 3, 14, h + 6);
    }
    for (const call of v.calls) {
      const box = this.lanes.callBox(call, view);
      if (!this.lanes.callShown(call)) continue;
      if (box.x > view.left + view.width) continue;
      ctx.lineWidth = 2;
      ctx.strokeRect(box.x - 2, box.y - 2, box.w + 4, box.h + 4);
    }
    ctx.font = `600 11.5px ${FONT}`;
    ctx.textBaseline = "middle";
    const text = v.live ? "violation" : "not live";
    const w = ctx.measureText(text).width + 14;
    const at = Math.max(view.left, Math.min(x - w / 2,
        view.left + view.width - w));
    ctx.beginPath();
    ctx.roundRect(at, 4, w, 19, 4);
    ctx.fill();
    ctx.fillStyle = "#fff";
    ctx.fillText(text, at + 7, 14);
    ctx.restore();
  }

  hit(x, y) {
    let best = null;
    for (const b of this.boxes) {
      if (x >= b.x - 2 && x <= b.x + b.w + 2 && y >= b.y - 2 &&
          y <= b.y + b.h + 2 && (best === null || b.mark !== undefined)) {
        best = b;
      }
    }
    return best;
  }
}

const GLYPHS = {
  crash: {path: new Path2D("M-4 -4 L4 4 M4 -4 L-4 4")},
  power: {path: new Path2D("M1.5 -5.5 L-3.6 1 L-0.6 1 L-1.6 5.5 L3.8 -1.4 L0.6 -1.4 Z"),
          fill: true},
  start: {path: new Path2D("M-3 -4 L4 0 L-3 4 Z"), fill: true},
  pause: {path: new Path2D("M-2 -4 L-2 4 M2 -4 L2 4")},
  "other disk": {path: new Path2D("M4 0 A4 4 0 1 1 -4 0 A4 4 0 1 1 4 0 Z")},
  hang: {path: new Path2D("M-4 -4 L4 -4 L-4 4 L4 4 Z")},
  damage: {path: new Path2D("M-4 1 L-1 -3 L1 3 L4 -1")},
  "disk error": {path: new Path2D("M0 -4 L0 1 M0 4 L0 4.1")},
  full: {path: new Path2D("M-3 -4 L-3 4 L3 4 L3 -4 Z"), fill: true},
  room: {path: new Path2D("M-3 -4 L-3 4 L3 4 L3 -4")},
  slow: {path: new Path2D("M-4 0 L2 0 M4 -3 L4 3")},
  fast: {path: new Path2D("M-4 0 L4 0")},
  reset: {path: new Path2D("M-4 0 L-1 0 M1 0 L4 0 M-2 -3 L2 3")},
  silence: {path: new Path2D("M-4 0 L-3.9 0 M0 0 L0.1 0 M4 0 L4.1 0")},
  refused: {path: new Path2D("M3 -3 L-3 -3 L-3 3 L3 3")},
  flip: {path: new Path2D("M-4 2 L0 2 L0 -2 L4 -2")},
  linger: {path: new Path2D("M-4 0 L4 0 M1 -3 L4 0 L1 3")},
  "disk loss": {path: new Path2D("M-3 -1 L0 3 L3 -1")},
};
