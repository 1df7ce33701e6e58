// Mouse and keyboard.

class Input {
  constructor(app) {
    this.app = app;
    this.drag = null;
    const canvas = app.canvas;
    canvas.addEventListener("wheel", (e) => this.wheel(e), {passive: false});
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointercancel", () => { this.drag = null; });
    canvas.addEventListener("pointerleave", () => app.hover(null));
    canvas.addEventListener("dblclick", (e) => {
      const t = app.view.t(e.offsetX);
      app.view.fly(t - app.view.span / 10, t + app.view.span / 10);
    });
    document.addEventListener("keydown", (e) => this.key(e));
    this.overview();
    this.buttons();
  }
  wheel(e) {
    e.preventDefault();
    const view = this.app.view;
    const unit = e.deltaMode === 1 ? 16 : 1;
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      const pixels = (e.deltaX || e.deltaY) * unit;
      return view.pan(pixels * view.perPixel());
    }
    const turn = Math.max(-240, Math.min(240, e.deltaY * unit));
    view.zoom(Math.exp(turn * 0.0022), view.t(e.offsetX));
  }
  down(e) {
    if (e.button !== 0) return;
    this.app.view.stop();
    this.app.canvas.setPointerCapture(e.pointerId);
    this.drag = {
      x: e.offsetX, y: e.offsetY, t0: this.app.view.t0, moved: false,
      marking: e.shiftKey,
    };
  }
  move(e) {
    const view = this.app.view;
    if (this.drag === null) return this.app.hover({x: e.offsetX, y: e.offsetY,
      clientX: e.clientX, clientY: e.clientY});
    const dx = e.offsetX - this.drag.x;
    if (Math.abs(dx) + Math.abs(e.offsetY - this.drag.y) > 4) {
      this.drag.moved = true;
    }
    if (!this.drag.moved) return;
    this.app.hover(null);
    if (this.drag.marking) {
      this.app.marked = [this.drag.x, e.offsetX];
      return this.app.redraw();
    }
    this.app.canvas.classList.add("drag");
    const t0 = this.drag.t0 - dx * view.perPixel();
    view.set(t0, t0 + view.span);
  }
  up(e) {
    const drag = this.drag;
    this.drag = null;
    this.app.canvas.classList.remove("drag");
    if (drag === null) return;
    const marked = this.app.marked;
    this.app.marked = null;
    if (!drag.moved) return this.app.select(this.app.hit(e.offsetX, e.offsetY));
    if (marked !== null && Math.abs(marked[1] - marked[0]) > 5) {
      const [a, b] = marked.map((x) => this.app.view.t(x)).sort(
          (p, q) => p - q);
      this.app.view.fly(a, b);
    }
    this.app.redraw();
  }

  key(e) {
    const app = this.app;
    const view = app.view;
    if (e.target instanceof HTMLInputElement && e.target.type !== "checkbox") {
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey || app.keys.open) return;
    const middle = (view.t0 + view.t1) / 2;
    const step = view.span * (e.shiftKey ? 0.8 : 0.2);
    const actions = {
      ArrowLeft: () => view.pan(-step), ArrowRight: () => view.pan(step),
      ArrowUp: () => view.zoom(0.7, middle),
      ArrowDown: () => view.zoom(1 / 0.7, middle),
      "+": () => view.zoom(0.6, middle), "=": () => view.zoom(0.6, middle),
      "-": () => view.zoom(1 / 0.6, middle), 0: () => view.whole(),
      Home: () => view.whole(), v: () => app.goToViolation(),
      n: () => app.next(1), p: () => app.next(-1),
      f: () => app.goToSelected(), Escape: () => app.select(null),
      "?": () => app.keys.showModal(),
    };
    const action = actions[e.key];
    if (action === undefined) return;
    e.preventDefault();
    action();
  }

  overview() {
    const app = this.app;
    const canvas = app.overview.canvas;
    let grip = null;
    const go = (e) => {
      const half = app.view.span / 2;
      const t = app.overview.t(e.offsetX) - (grip ?? 0);
      app.view.stop();
      app.view.set(t - half, t + half);
    };
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      const t = app.overview.t(e.offsetX);
      const inside = t > app.view.t0 && t < app.view.t1;
      // What is grasped stays under the hand.
      grip = inside ? t - (app.view.t0 + app.view.t1) / 2 : 0;
      go(e);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (grip !== null) go(e);
    });
    canvas.addEventListener("pointerup", () => { grip = null; });
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      app.view.zoom(Math.exp(Math.max(-240, Math.min(240, e.deltaY)) * 0.0022),
                    app.overview.t(e.offsetX));
    }, {passive: false});
  }
  buttons() {
    const app = this.app;
    const on = (id, fn) => {
      document.getElementById(id).addEventListener("click", fn);
    };
    const middle = () => (app.view.t0 + app.view.t1) / 2;
    on("whole", () => app.view.whole());
    on("in", () => app.view.zoom(0.6, middle()));
    on("out", () => app.view.zoom(1 / 0.6, middle()));
    on("help", () => app.keys.showModal());
    on("there", () => app.goToViolation());
    document.getElementById("go").addEventListener("submit", (e) => {
      e.preventDefault();
      app.goTo(document.getElementById("where").value.trim());
    });
  }
}
