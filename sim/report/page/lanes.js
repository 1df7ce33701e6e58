// The lanes: where they are, and what is drawn along them. A server's lane has
// a band in the colour of its role with its term, the commit index below it,
// and its disk's operations below that; a client's has its operations.

const AXIS = 30;
const BAND = 17;
const COMMIT = 13;
const DISK_ROW = 6;
const CALL_ROW = 8;
const CALL_ROWS_MAX = 12;
const LANE_HIDDEN = 16;

class Lanes {
  constructor(run) {
    this.run = run;
    this.lanes = run.machines.map((m) => ({
      machine: m, hidden: false, rows: Math.min(
          CALL_ROWS_MAX, run.calls.rows.get(m.lane) ?? 1),
      roles: [], commitAt: [], commit: [], stateAt: [], states: [],
    }));
    this.readStates();
  }
  // Into stretches of one role and term, and steps of the commit index.
  readStates() {
    const s = this.run.states;
    for (let i = 0; i < s.count; ++i) {
      const lane = this.lanes[s.lane[i]];
      if (lane === undefined) continue;
      const roles = lane.roles;
      const last = roles[roles.length - 1];
      if (last === undefined || last.looks !== s.looks[i] ||
          last.term !== s.term[i]) {
        if (last !== undefined) last.to = s.at[i];
        roles.push({
          from: s.at[i], to: this.run.to, looks: s.looks[i], term: s.term[i],
        });
      }
      if (lane.commit[lane.commit.length - 1] !== s.commit[i]) {
        lane.commitAt.push(s.at[i]);
        lane.commit.push(s.commit[i]);
      }
      lane.stateAt.push(s.at[i]);
      lane.states.push(i);
    }
  }
  // The state of a lane at a time; -1: not known.
  stateAt(lane, t) {
    const i = lowerBound(this.lanes[lane].stateAt, t + 0.5) - 1;
    return i < 0 ? -1 : this.lanes[lane].states[i];
  }

  layout(height) {
    let used = AXIS;
    for (const lane of this.lanes) {
      lane.height = lane.hidden ? LANE_HIDDEN : this.heightOf(lane);
      used += lane.height;
    }
    const open = this.lanes.filter((lane) => !lane.hidden).length;
    const gap = Math.min(132, Math.max(30,
        (height - used - 14) / Math.max(1, open)));
    let y = AXIS;
    for (const lane of this.lanes) {
      const above = lane.hidden ? 2 : gap * 0.5;
      lane.top = y + above;
      lane.bottom = lane.top + lane.height;
      y = lane.bottom + (lane.hidden ? 2 : gap * 0.5);
    }
    return Math.max(height, y + 10);
  }
  heightOf(lane) {
    if (!lane.machine.server) return lane.rows * CALL_ROW + 2;
    return BAND + (shown.commit ? COMMIT : 0) + (shown.disk ? DISK_ROW + 2 : 0) +
        (shown.kv ? Math.min(4, lane.rows) * CALL_ROW + 2 : 0);
  }
  // Where arrows from below end.
  foot(lane) {
    return !lane.hidden && lane.machine.server ? lane.top + BAND : lane.bottom;
  }
  commitTop(lane) { return lane.top + BAND; }
  diskTop(lane) {
    return lane.top + BAND + (shown.commit ? COMMIT : 0) + 2;
  }
  callTop(lane) {
    if (!lane.machine.server) return lane.top + 1;
    return this.diskTop(lane) + (shown.disk ? DISK_ROW + 2 : 0);
  }

  drawBands(ctx, view) {
    for (const lane of this.lanes) {
      if (lane.hidden) {
        ctx.fillStyle = GRID;
        ctx.fillRect(view.left, Math.round((lane.top + lane.bottom) / 2),
                     view.width, 1);
      } else if (!lane.machine.server) {
        ctx.fillStyle = "#f6f8f9";
        ctx.fillRect(view.left, lane.top - 2, view.width, lane.height + 4);
      } else {
        this.eachRole(view, lane, (role, x0, x1) => {
          this.drawRole(ctx, lane, role, x0, x1);
        });
      }
    }
  }
  draw(ctx, view) {
    const range = this.commitRange(view);
    for (const lane of this.lanes) {
      if (lane.hidden || !lane.machine.server) continue;
      ctx.font = `11px ${FONT}`;
      ctx.textBaseline = "middle";
      this.eachRole(view, lane, (role, x0, x1) => {
        this.drawRoleName(ctx, lane, role, x0, x1);
      });
      if (shown.commit) {
        this.drawCommit(ctx, view, lane, range);
        this.drawCommitNumbers(ctx, view, lane);
      }
    }
    if (shown.disk) this.drawDisk(ctx, view);
    if (shown.calls || shown.kv) this.drawCalls(ctx, view);
    if (shown.events) this.drawEvents(ctx, view);
  }

  eachRole(view, lane, fn) {
    const right = view.left + view.width;
    let before = -10;
    for (const role of lane.roles) {
      if (role.to < view.t0 || role.from > view.t1) continue;
      const x1 = Math.min(right, view.x(role.to));
      if (x1 < before + 0.5) continue;
      before = x1;
      fn(role, Math.max(view.left, view.x(role.from)), x1);
    }
  }
  drawRole(ctx, lane, role, x0, x1) {
    const fill = LOOKS[role.looks].fill;
    if (fill === null) {
      ctx.fillStyle = "#c3ccd4";
      for (let x = x0; x < x1; x += 7) {
        ctx.fillRect(x, lane.top + BAND / 2, Math.min(3, x1 - x), 1);
      }
    } else {
      ctx.fillStyle = fill;
      ctx.fillRect(x0, lane.top, Math.max(1, x1 - x0 - 0.5), BAND);
    }
  }
  drawRoleName(ctx, lane, role, x0, x1) {
    const looks = LOOKS[role.looks];
    const name = this.run.looks[role.looks];
    const texts = role.term > 0 && role.looks > 1
        ? [`${name} \u00b7 term ${role.term}`, `term ${role.term}`,
           `${role.term}`]
        : [name];
    for (const text of texts) {
      if (x1 - x0 < 18) return;
      const w = ctx.measureText(text).width;
      if (w + 12 > x1 - x0) continue;
      ctx.fillStyle = looks.fill ?? "#fff";
      ctx.fillRect(x0 + 3, lane.top + 2, w + 6, BAND - 6);
      ctx.fillStyle = looks.ink;
      ctx.fillText(text, x0 + 6, lane.top + BAND / 2 + 0.5);
      return;
    }
  }

  // The greatest and the least commit index on the screen, over all lanes, so
  // that who is behind shows.
  commitRange(view) {
    let low = Infinity;
    let high = 0;
    for (const lane of this.lanes) {
      if (lane.hidden || lane.commit.length === 0) continue;
      const first = Math.max(0, lowerBound(lane.commitAt, view.t0) - 1);
      const last = lowerBound(lane.commitAt, view.t1 + 1) - 1;
      for (let i = first; i <= last; ++i) {
        if (lane.commit[i] === 0) continue;
        low = Math.min(low, lane.commit[i]);
        high = Math.max(high, lane.commit[i]);
      }
    }
    return [Math.min(low, high), high];
  }
  // The places of the first and last commit index on the screen.
  commitsOn(view, lane) {
    return [Math.max(0, lowerBound(lane.commitAt, view.t0) - 1),
            lowerBound(lane.commitAt, view.t1 + 1) - 1];
  }
  drawCommit(ctx, view, lane, [low, high]) {
    const top = this.commitTop(lane) + 2;
    const depth = COMMIT - 4;
    const y = (c) => top + depth - (high > low && c > 0
        ? Math.max(0, c - low) / (high - low) * depth : 0);
    const [first, last] = this.commitsOn(view, lane);
    ctx.strokeStyle = "#7b8894";
    ctx.lineWidth = 1;
    ctx.beginPath();
    // Steps while there are any; not while the server was down.
    let on = false;
    let before = -10;
    for (let i = first; i <= last; ++i) {
      const x0 = Math.max(view.left, view.x(lane.commitAt[i]));
      const x1 = i === last ? Math.min(view.left + view.width,
                                       view.x(this.run.to))
                            : view.x(lane.commitAt[i + 1]);
      if (lane.commit[i] === 0) {
        on = false;
        continue;
      }
      if (on && x1 < before + 0.7 && i !== last) continue;
      before = x1;
      if (on) ctx.lineTo(x0, y(lane.commit[i]));
      else ctx.moveTo(x0, y(lane.commit[i]));
      ctx.lineTo(x1, y(lane.commit[i]));
      on = true;
    }
    ctx.stroke();
  }
  drawCommitNumbers(ctx, view, lane) {
    const top = this.commitTop(lane) + 2;
    const depth = COMMIT - 4;
    const [first, last] = this.commitsOn(view, lane);
    if ((last - first) * 30 > view.width) return;
    ctx.font = `10px ${FONT}`;
    ctx.textBaseline = "middle";
    let free = view.left;
    for (let i = first; i <= last; ++i) {
      const x = Math.max(view.left, view.x(lane.commitAt[i]));
      if (lane.commit[i] === 0 || x < free) continue;
      const text = `${i === first ? "commit " : ""}${lane.commit[i]}`;
      const w = ctx.measureText(text).width;
      ctx.fillStyle = "#7b8894";
      if (i > first) ctx.fillRect(x, top - 1, 1, depth + 2);
      ctx.fillStyle = "rgb(255 255 255 / 85%)";
      ctx.fillRect(x + 2, top, w + 3, depth + 1);
      ctx.fillStyle = SOFT;
      ctx.fillText(text, x + 4, top + depth / 2 + 0.5);
      free = x + w + 10;
    }
  }

  drawDisk(ctx, view) {
    const d = this.run.disk;
    // Of each lane: usual ones, and what is remarkable, in its two rows.
    const before = new Float64Array(3 * this.lanes.length).fill(-10);
    d.spans.visit(view.t0, view.t1, (i) => {
      const lane = this.lanes[d.lane[i]];
      if (lane === undefined || lane.hidden) return;
      const last = 3 * d.lane[i] + (d.tone[i] > 0 ? 0 : 1 + d.sync[i]);
      const x0 = view.x(d.begun[i]);
      const x1 = Math.min(view.x(Math.min(d.ended[i], this.run.to)),
                          view.left + view.width);
      if (x1 < before[last] + 0.8) return;
      before[last] = x1;
      ctx.fillStyle = DISK[d.tone[i]];
      ctx.fillRect(Math.max(view.left, x0),
                   this.diskTop(lane) + (d.sync[i] ? 3 : 0),
                   Math.max(1, x1 - Math.max(view.left, x0)), 3);
    });
  }

  callShown(i) {
    const lane = this.lanes[this.run.calls.lane[i]];
    return lane !== undefined && !lane.hidden &&
        (lane.machine.server ? shown.kv : shown.calls) &&
        this.run.calls.row[i] < (lane.machine.server ? 4 : CALL_ROWS_MAX);
  }
  callBox(i, view) {
    const c = this.run.calls;
    const lane = this.lanes[c.lane[i]];
    const x0 = Math.max(view.left, view.x(c.begun[i]));
    const x1 = Math.min(view.x(Math.min(c.ended[i], this.run.to)),
                        view.left + view.width);
    return {
      x: x0, y: this.callTop(lane) + c.row[i] * CALL_ROW,
      w: Math.max(1.5, x1 - x0), h: CALL_ROW - 2,
    };
  }
  drawCalls(ctx, view) {
    const c = this.run.calls;
    const before = new Map();
    ctx.font = `10px ${FONT}`;
    ctx.textBaseline = "middle";
    c.spans.visit(view.t0, view.t1, (i) => {
      if (!this.callShown(i)) return;
      const box = this.callBox(i, view);
      const row = c.lane[i] * 16 + c.row[i];
      if (box.x + box.w < (before.get(row) ?? -10) + 0.8) return;
      before.set(row, box.x + box.w);
      this.drawCall(ctx, i, box);
    });
  }
  // Done is full, rejected is hollow, unknown and failed are striped.
  drawCall(ctx, i, box) {
    const c = this.run.calls;
    const color = CALLS[c.what.at(i)] ?? SOFT;
    ctx.fillStyle = color;
    ctx.strokeStyle = color;
    if (c.end[i] === 2 && box.w > 3) {
      ctx.lineWidth = 1.2;
      ctx.strokeRect(box.x + 0.6, box.y + 0.6, box.w - 1.2, box.h - 1.2);
    } else if (c.end[i] > 2) {
      ctx.globalAlpha *= 0.35;
      ctx.fillRect(box.x, box.y, box.w, box.h);
      ctx.globalAlpha /= 0.35;
      for (let x = box.x; x < box.x + box.w; x += 5) {
        ctx.fillRect(x, box.y, Math.min(2, box.x + box.w - x), box.h);
      }
    } else {
      ctx.globalAlpha *= c.end[i] === 0 ? 0.45 : 0.9;
      ctx.fillRect(box.x, box.y, box.w, box.h);
      ctx.globalAlpha /= c.end[i] === 0 ? 0.45 : 0.9;
    }
  }

  // Each event as a tick on its lane, when there is room.
  drawEvents(ctx, view) {
    const e = this.run.events;
    const first = lowerBound(e.time, view.t0);
    const last = lowerBound(e.time, view.t1);
    if ((last - first) * 2 > view.width) return;
    ctx.fillStyle = "rgb(31 41 51 / 45%)";
    for (let i = first; i < last; ++i) {
      const lane = this.lanes[e.lane[i]];
      if (lane === undefined || lane.hidden) continue;
      const y = lane.machine.server ? lane.top + BAND - 4 : lane.top - 2;
      ctx.fillRect(Math.round(view.x(e.time[i])), y, 1, 4);
    }
  }
}

function drawAxis(ctx, view, height) {
  const step = niceStep(view.perPixel() * 118);
  ctx.font = `11px ${FONT}`;
  ctx.textBaseline = "middle";
  const begin = Math.ceil(Math.max(view.t0, 0) / step) * step;
  for (let t = begin; t <= view.t1; t += step) {
    const x = Math.round(view.x(t));
    ctx.fillStyle = GRID;
    ctx.fillRect(x, AXIS - 6, 1, height - AXIS + 6);
    ctx.fillStyle = SOFT;
    const text = timeText(t, step);
    const w = ctx.measureText(text).width;
    if (x - w / 2 > view.left && x + w / 2 < view.left + view.width) {
      ctx.fillText(text, x - w / 2, 13);
    }
  }
}
