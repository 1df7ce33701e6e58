// What part of the run is on the screen.

class View {
  constructor(run) {
    this.run = run;
    this.left = 0;     // of the picture, behind the lanes' names
    this.width = 100;  // pixels
    this.t0 = run.from;
    this.t1 = Math.max(run.to, run.from + 1000);
    this.flight = 0;
    this.changed = () => {};
  }
  get span() { return this.t1 - this.t0; }
  x(t) { return this.left + (t - this.t0) / this.span * this.width; }
  t(x) { return this.t0 + (x - this.left) / this.width * this.span; }
  perPixel() { return this.span / this.width; }

  set(t0, t1) {
    const least = 2000;  // 2 us
    const all = this.run.to - this.run.from;
    const most = Math.max(all * 1.04, least);
    let span = Math.min(Math.max(t1 - t0, least), most);
    const middle = (t0 + t1) / 2;
    const slack = Math.max(all * 0.02, span * 0.4);
    let from = middle - span / 2;
    from = Math.min(from, this.run.to + slack - span);
    from = Math.max(from, this.run.from - slack);
    this.t0 = from;
    this.t1 = from + span;
    this.changed();
  }
  zoom(factor, t) {
    this.stop();
    this.set(t - (t - this.t0) * factor, t + (this.t1 - t) * factor);
  }
  pan(dt) {
    this.stop();
    this.set(this.t0 + dt, this.t1 + dt);
  }
  stop() { cancelAnimationFrame(this.flight); }
  // Moves there, at once where motion is unwelcome.
  fly(t0, t1) {
    this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      return this.set(t0, t1);
    }
    const [a0, a1] = [this.t0, this.t1];
    const began = performance.now();
    const step = (now) => {
      const s = Math.min(1, (now - began) / 220);
      const e = 1 - (1 - s) ** 3;
      // By the logarithm of the span, or a long way is a blur.
      const span = Math.exp(Math.log(a1 - a0) * (1 - e) +
                            Math.log(Math.max(1, t1 - t0)) * e);
      const share = a1 - a0 === t1 - t0 ? e :
          (span - (a1 - a0)) / ((t1 - t0) - (a1 - a0));
      const from = a0 + (t0 - a0) * share;
      this.set(from, from + span);
      if (s < 1) this.flight = requestAnimationFrame(step);
      else this.set(t0, t1);
    };
    this.flight = requestAnimationFrame(step);
  }
  center(t) {
    this.fly(t - this.span / 2, t + this.span / 2);
  }
  whole() {
    const all = Math.max(this.run.to - this.run.from, 2000);
    this.fly(this.run.from - all * 0.01, this.run.to + all * 0.01);
  }
}

// "12.345 678 s": as many digits as `step` tells apart.
function timeText(t, step = 1) {
  const digits = Math.min(9, Math.max(0, Math.ceil(9 - Math.log10(step))));
  let text = (t / 1e9).toFixed(digits);
  const point = text.indexOf(".");
  if (point < 0) return text + " s";
  const fraction = text.slice(point + 1).replace(/(...)(?=.)/g, "$1\u2009");
  return `${text.slice(0, point)}.${fraction} s`;
}

function lengthText(ns) {
  if (ns === NEVER) return "for ever";
  if (ns >= 1e9) return (ns / 1e9).toPrecision(4) + " s";
  if (ns >= 1e6) return (ns / 1e6).toPrecision(4) + " ms";
  if (ns >= 1e3) return (ns / 1e3).toPrecision(4) + " \u00b5s";
  return Math.round(ns) + " ns";
}

const countText = (n) => Math.round(n).toLocaleString("en-US");

// A step of the axis: 1, 2 or 5 times a power of ten, at least `least`.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  for (const m of [1, 2, 5, 10]) if (power * m >= least) return power * m;
  return power * 10;
}
