// Messages as arrows from lane to lane; where there are too many to be told
// apart, as heaps: how many each server sent in each few pixels of time.

const ARROWS_MAX = 2500;
const HEAP = 3;  // pixels

class Messages {
  constructor(run, lanes) {
    this.run = run;
    this.lanes = lanes;
    this.visible = [];  // arrows
    this.heaped = [];   // groups
    const m = run.messages;
    const places = GROUPS.map(() => []);
    for (let i = 0; i < m.count; ++i) places[m.group[i]].push(i);
    // Each group's messages, by when they were sent.
    this.groups = places.map((list) => {
      const items = Int32Array.from(list);
      const sent = Float64Array.from(items, (i) => m.sent[i]);
      const tip = Float64Array.from(items, (i) => m.tip[i]);
      return {items, sent, spans: new Spans(sent, tip)};
    });
  }

  isShown(i) {
    const m = this.run.messages;
    const from = this.lanes.lanes[m.from[i]];
    const to = this.lanes.lanes[m.to[i]];
    return shown.group[m.group[i]] && from !== undefined &&
        to !== undefined && !from.hidden && !to.hidden &&
        (shown.lost || m.arrived[i] < NEVER);
  }
  // The rarest groups are worth their arrows most.
  choose(view) {
    const order = this.groups.map((group, g) => [
      lowerBound(group.sent, view.t1) - lowerBound(group.sent, view.t0), g,
    ]).sort((a, b) => a[0] - b[0]);
    let arrows = 0;
    this.visible = [];
    this.heaped = [];
    for (const [n, g] of order) {
      if (!shown.group[g]) continue;
      arrows += n;
      if (arrows > ARROWS_MAX) {
        this.heaped.push(g);
        continue;
      }
      const {items, spans} = this.groups[g];
      spans.visit(view.t0, view.t1, (j) => {
        if (this.isShown(items[j])) this.visible.push(items[j]);
      });
    }
  }

  ends(i, view) {
    const m = this.run.messages;
    const a = this.lanes.lanes[m.from[i]];
    const b = this.lanes.lanes[m.to[i]];
    const down = b.top > a.top;
    const p = {
      x0: view.x(m.sent[i]), y0: down ? this.lanes.foot(a) : a.top,
      x1: view.x(m.tip[i]), y1: down ? b.top : this.lanes.foot(b),
      lost: m.arrived[i] === NEVER,
    };
    if (p.lost) {
      // A part of the way, whatever the zoom.
      p.x1 = Math.min(p.x1, p.x0 + 26);
      p.y1 = p.y0 + (p.y1 - p.y0) * 0.42;
    }
    return p;
  }

  draw(ctx, view) {
    this.choose(view);
    if (this.heaped.length > 0) this.drawHeaps(ctx, view);
    const n = this.visible.length;
    const m = this.run.messages;
    ctx.lineWidth = n > 800 ? 0.7 : n > 200 ? 0.9 : 1.2;
    const alpha = ctx.globalAlpha;
    ctx.globalAlpha = alpha * (n > 1200 ? 0.55 : 0.85);
    // A colour at a time; heartbeats below all else.
    for (const g of [1, 6, 0, 5, 3, 4, 2]) {
      ctx.strokeStyle = ctx.fillStyle = GROUPS[g].color;
      ctx.beginPath();
      const heads = [];
      const lost = [];
      for (const i of this.visible) {
        if (m.group[i] !== g) continue;
        const p = this.ends(i, view);
        if (p.lost) {
          lost.push(p);
          continue;
        }
        ctx.moveTo(p.x0, p.y0);
        ctx.lineTo(p.x1, p.y1);
        if (n < 700) heads.push(p);
      }
      ctx.stroke();
      for (const p of heads) this.head(ctx, p, n < 150 ? 6 : 4);
      for (const p of lost) this.drawLost(ctx, p);
    }
    ctx.globalAlpha = alpha;
  }
  drawOne(ctx, view, i, width) {
    const p = this.ends(i, view);
    const g = this.run.messages.group[i];
    ctx.strokeStyle = ctx.fillStyle = g === 1 ? "#74818d" : GROUPS[g].color;
    ctx.lineWidth = width;
    if (p.lost) return this.drawLost(ctx, p);
    ctx.beginPath();
    ctx.moveTo(p.x0, p.y0);
    ctx.lineTo(p.x1, p.y1);
    ctx.stroke();
    this.head(ctx, p, 4 + width * 1.6);
  }
  // What never arrived ends in a cross.
  drawLost(ctx, p) {
    ctx.save();
    ctx.beginPath();
    ctx.setLineDash([4, 3]);
    ctx.moveTo(p.x0, p.y0);
    ctx.lineTo(p.x1, p.y1);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.strokeStyle = FAULT;
    ctx.beginPath();
    for (const s of [-1, 1]) {
      ctx.moveTo(p.x1 - 3, p.y1 - 3 * s);
      ctx.lineTo(p.x1 + 3, p.y1 + 3 * s);
    }
    ctx.stroke();
    ctx.restore();
  }
  head(ctx, p, size) {
    const angle = Math.atan2(p.y1 - p.y0, p.x1 - p.x0);
    ctx.beginPath();
    ctx.moveTo(p.x1, p.y1);
    for (const turn of [-0.42, 0.42]) {
      ctx.lineTo(p.x1 - size * Math.cos(angle + turn),
                 p.y1 - size * Math.sin(angle + turn));
    }
    ctx.fill();
  }

  // "AppendRequest 25": what fits beside an arrow.
  label(i) {
    const m = this.run.messages;
    const text = m.text.at(i);
    const match =
        /entries=\[(\d+)[^\]]*?(?:[ .]+(\d+)\/\d+)?\]|match=(\d+)|(granted|refused)|base_offset=(\d+)/
            .exec(text);
    const name = m.name.at(i).replace(/^Client/, "");
    if (match === null) return name;
    if (match[1] !== undefined) {
      return `${name} ${match[1]}${match[2] ? "\u2013" + match[2] : ""}`;
    }
    return `${name} ${match[3] ?? match[4] ?? match[5]}`;
  }
  // Of these arrows, where there is room.
  drawNames(ctx, view, arrows) {
    const m = this.run.messages;
    ctx.font = `10.5px ${FONT}`;
    ctx.textBaseline = "middle";
    const boxes = [];
    for (const i of arrows) {
      if (m.group[i] === 1 && arrows.length > 30) continue;
      const p = this.ends(i, view);
      const text = this.label(i);
      const w = ctx.measureText(text).width;
      // The nearest free place along the arrow.
      for (const share of [0.3, 0.5, 0.7, 0.16]) {
        const box = {
          x: p.x0 + (p.x1 - p.x0) * share + 5,
          y: p.y0 + (p.y1 - p.y0) * share - 6, w, h: 12,
        };
        if (box.x < view.left || box.x + w > view.left + view.width) continue;
        const taken = boxes.some((b) => b.x < box.x + box.w + 4 &&
            box.x < b.x + b.w + 4 && b.y < box.y + box.h && box.y < b.y + b.h);
        const onLane = this.lanes.lanes.some(
            (lane) => box.y + box.h > lane.top && box.y < lane.bottom);
        if (taken || onLane) continue;
        boxes.push(box);
        ctx.fillStyle = "rgb(255 255 255 / 82%)";
        ctx.fillRect(box.x - 1, box.y, w + 2, box.h);
        ctx.fillStyle = m.group[i] === 1 || m.group[i] === 6
            ? SOFT : GROUPS[m.group[i]].color;
        ctx.fillText(text, box.x, box.y + 6.5);
        break;
      }
    }
  }

  // Below each lane, by colour: the messages that it sent.
  countHeaps(view) {
    const m = this.run.messages;
    const bins = Math.ceil(view.width / HEAP);
    const lanes = this.lanes.lanes.length;
    const groups = GROUPS.length;
    const counts = new Uint32Array(bins * lanes * groups);
    const per = HEAP * view.perPixel();
    let most = 1;
    const total = new Uint32Array(bins * lanes);
    for (const g of this.heaped) {
      const {items, sent} = this.groups[g];
      const end = lowerBound(sent, view.t1);
      for (let j = lowerBound(sent, view.t0); j < end; ++j) {
        if (!this.isShown(items[j])) continue;
        const b = Math.floor((sent[j] - view.t0) / per);
        if (b >= bins) continue;
        const at = b * lanes + m.from[items[j]];
        ++counts[at * groups + g];
        most = Math.max(most, ++total[at]);
      }
    }
    this.heapCounts = {counts, total, most, bins, per, lanes, groups};
  }
  drawHeaps(ctx, view) {
    this.countHeaps(view);
    const {counts, total, most, bins, lanes, groups} = this.heapCounts;
    for (let l = 0; l < lanes; ++l) {
      const lane = this.lanes.lanes[l];
      if (lane.hidden) continue;
      const room = this.heapRoom(lane);
      for (let b = 0; b < bins; ++b) {
        let y = lane.bottom + 3;
        for (const g of [0, 5, 3, 4, 2, 6, 1]) {
          const n = counts[(b * lanes + l) * groups + g];
          if (n === 0) continue;
          // Few are seen beside many.
          const h = Math.max(1, Math.sqrt(n / most) * room *
              (n / total[b * lanes + l]));
          ctx.fillStyle = GROUPS[g].color;
          ctx.fillRect(view.left + b * HEAP, y, HEAP - 0.5, h);
          y += h;
        }
      }
    }
  }
  heapRoom(lane) {
    const next = this.lanes.lanes.find((other) => other.top > lane.top);
    const room = next === undefined ? 26 : next.top - lane.bottom - 14;
    return Math.max(8, Math.min(46, room));
  }
  // What the heap under a point holds: [count, group] pairs.
  heapAt(x, y, view) {
    if (this.heaped.length === 0) return null;
    const l = this.lanes.lanes.findIndex((lane) => !lane.hidden &&
        y > lane.bottom && y < lane.bottom + this.heapRoom(lane) + 4);
    const h = this.heapCounts;
    const b = Math.floor((x - view.left) / HEAP);
    if (l < 0 || b < 0 || b >= h.bins) return null;
    const found = [];
    for (let g = 0; g < h.groups; ++g) {
      const n = h.counts[(b * h.lanes + l) * h.groups + g];
      if (n > 0) found.push([n, g]);
    }
    return found.length > 0 ? {lane: l, found, per: h.per} : null;
  }

  hit(x, y, view) {
    let best = null;
    let nearest = 5;
    for (const i of this.visible) {
      const p = this.ends(i, view);
      const d = distance(x, y, p);
      if (d < nearest) {
        nearest = d;
        best = i;
      }
    }
    return best;
  }
}

function distance(x, y, p) {
  const dx = p.x1 - p.x0;
  const dy = p.y1 - p.y0;
  const length = dx * dx + dy * dy;
  let s = length === 0 ? 0 : ((x - p.x0) * dx + (y - p.y0) * dy) / length;
  s = Math.max(0, Math.min(1, s));
  return Math.hypot(x - p.x0 - s * dx, y - p.y0 - s * dy);
}
