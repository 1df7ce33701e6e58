// The whole run in a strip: roles and faults, where it broke, and what part of
// it the picture shows.

class Overview {
  constructor(run, lanes, marks, canvas) {
    this.run = run;
    this.lanes = lanes;
    this.marks = marks;
    this.canvas = canvas;
  }
  // Its own scale.
  x(t) {
    return this.pad + (t - this.run.from) / this.length *
        (this.width - 2 * this.pad);
  }
  t(x) {
    return this.run.from + (x - this.pad) / (this.width - 2 * this.pad) *
        this.length;
  }

  // Once, or when its size changes; the part that is shown goes over it.
  prepare() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    this.width = box.width - 36;
    this.height = 58;
    this.pad = 10;
    this.length = Math.max(1, this.run.to - this.run.from);
    const scale = devicePixelRatio;
    this.canvas.style.width = `${this.width}px`;
    this.canvas.width = this.width * scale;
    this.canvas.height = this.height * scale;
    this.base = document.createElement("canvas");
    this.base.width = this.canvas.width;
    this.base.height = this.canvas.height;
    const ctx = this.base.getContext("2d");
    ctx.scale(scale, scale);
    this.drawBase(ctx);
  }
  drawBase(ctx) {
    const servers = this.lanes.lanes.filter((lane) => lane.machine.server);
    const room = (this.height - 22) / servers.length;
    const h = Math.max(2, Math.min(7, room - 2));
    servers.forEach((lane, row) => {
      const y = 6 + row * room;
      for (const role of lane.roles) {
        const fill = LOOKS[role.looks].fill;
        if (fill === null) continue;
        ctx.fillStyle = fill;
        const x = this.x(role.from);
        ctx.fillRect(x, y, Math.max(0.8, this.x(role.to) - x), h);
      }
      for (const cut of this.marks.cuts[lane.machine.lane]) {
        ctx.fillStyle = FAULT;
        ctx.globalAlpha = 0.55;
        ctx.fillRect(this.x(cut.from), y + h, this.x(cut.to) - this.x(cut.from),
                     1);
        ctx.globalAlpha = 1;
      }
    });
    const k = this.run.marks;
    ctx.fillStyle = FAULT;
    for (let i = 0; i < k.count; ++i) {
      const kind = k.kind.at(i);
      if (kind !== "crash" && kind !== "power") continue;
      const row = servers.findIndex((s) => s.machine.lane === k.lane[i]);
      if (row >= 0) ctx.fillRect(this.x(k.at[i]) - 0.75, 5 + row * room, 1.5,
                                 h + 2);
    }
    const step = niceStep(this.length / this.width * 90);
    ctx.font = `10px ${FONT}`;
    ctx.fillStyle = FAINT;
    ctx.textBaseline = "alphabetic";
    ctx.textAlign = "center";
    for (let t = Math.ceil(this.run.from / step) * step; t <= this.run.to;
         t += step) {
      const x = Math.max(18, Math.min(this.width - 18, this.x(t)));
      ctx.fillText(timeText(t, step), x, this.height - 5);
    }
  }
  draw(view) {
    const ctx = this.canvas.getContext("2d");
    const scale = devicePixelRatio;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.drawImage(this.base, 0, 0);
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    let x0 = Math.max(0, this.x(view.t0));
    let x1 = Math.min(this.width, this.x(view.t1));
    if (x1 - x0 < 6) {
      const middle = (x0 + x1) / 2;
      x0 = middle - 3;
      x1 = middle + 3;
    }
    ctx.fillStyle = "rgb(253 253 251 / 45%)";
    ctx.fillRect(0, 0, x0, this.height);
    ctx.fillRect(x1, 0, this.width - x1, this.height);
    if (this.run.violation !== null) {
      const x = this.x(this.run.violation.time);
      ctx.fillStyle = BROKEN;
      ctx.fillRect(x - 1, 0, 2, this.height);
      ctx.beginPath();
      ctx.moveTo(x - 5, 0);
      ctx.lineTo(x + 5, 0);
      ctx.lineTo(x, 7);
      ctx.fill();
    }
    ctx.strokeStyle = "#4a5866";
    ctx.lineWidth = 1.2;
    ctx.strokeRect(x0 + 0.5, 1, x1 - x0 - 1, this.height - 2);
  }
}
