// The page looks at itself, when it is opened as page.html#check: what a test
// then finds in the document says whether it works (page_test.sh).

function checkPage(app, errors) {
  const failures = [];
  const check = (what, ok) => { if (!ok) failures.push(what); };
  const view = app.view;
  // What is in the picture now.
  const copy = document.createElement("canvas");
  const look = () => {
    copy.width = app.canvas.width;
    copy.height = app.canvas.height;
    const ctx = copy.getContext("2d", {willReadFrequently: true});
    ctx.drawImage(app.canvas, 0, 0);
    return ctx;
  };
  app.draw();
  let seen = look();
  const colorAt = (x, y) => {
    const scale = devicePixelRatio;
    const d = seen.getImageData(
        Math.round(x * scale), Math.round(y * scale), 1, 1).data;
    return `#${[...d.slice(0, 3)].map((c) => c.toString(16).padStart(2, "0"))
        .join("")}`;
  };
  const anyColor = (x, y, color) => [-1, 0, 1].some(
      (dx) => colorAt(x + dx, y) === color);

  const v = app.run.violation;
  if (v !== null) {
    check("the page opens around the violation",
          view.t0 < v.time && v.time < view.t1 &&
          view.span < app.run.to - app.run.from + 1);
    check("the violation's line is in the picture",
          anyColor(view.x(v.time), AXIS + 2, BROKEN));
    check("the verdict is told",
          !document.getElementById("verdict").hidden &&
          document.getElementById("verdict").textContent.includes(v.what));
    check("its machines are marked",
          document.querySelectorAll("#labels .party").length ===
          v.lanes.length);
  }
  const arrows = app.messages.visible.length;
  check("messages are drawn", arrows > 0 || app.run.messages.count === 0);
  const marks = app.run.marks;
  for (let i = 0; i < marks.count; ++i) {
    const kind = marks.kind.at(i);
    check(`marks of the kind "${kind}" are drawn`,
          STRETCHES.includes(kind) || (kind in MARKS && kind in GLYPHS));
  }

  checkFollow(app, check);
  checkInput(app, check);
  checkMouse(app, check);
  view.set(app.run.from, app.run.to);
  const began = performance.now();
  for (let i = 0; i < 5; ++i) app.draw();
  const frame = (performance.now() - began) / 5;
  const work = checkWork(app, check);
  const wholeIsDrawn = () => {
    seen = look();
    return app.lanes.lanes.some((lane) => lane.roles.some((role) => {
      const x = view.x((Math.max(role.from, view.t0) +
                        Math.min(role.to, view.t1)) / 2);
      return LOOKS[role.looks].fill !== null &&
          anyColor(x, lane.top + 2, LOOKS[role.looks].fill);
    }));
  };
  check("the whole run is drawn", wholeIsDrawn());
  // A change of the view is drawn without being asked for, at the next frame.
  app.canvas.getContext("2d").reset();
  check("an empty picture is told from a drawn one", !wholeIsDrawn());
  view.set(app.run.from, app.run.to);
  requestAnimationFrame(() => {
    check("a change of the view is drawn", wholeIsDrawn());
    tellCheck(failures, errors,
              `${app.run.events.count} events, ` +
              `${app.run.messages.count} messages, ` +
              `${arrows} arrows at first, ` +
              `a frame of it all has ${work}, in ${frame.toFixed(1)} ms`);
  });
}

function tellCheck(failures, errors, counts) {
  const good = failures.length + errors.length === 0;
  const out = element("pre", [
    ...failures.map((what) => `failed: ${what}`),
    ...errors.map((what) => `error: ${what}`),
    `page check: ${good ? "good" : "bad"}; ${counts}`,
  ].join("\n"));
  out.id = "check";
  document.body.append(out);
}

// Of a document that shows any run, with something that is followed.
const ELEMENTS_MAX = 1500;

function checkFollow(app, check) {
  // The message that led to most.
  let best = null;
  let answered = false;
  for (const i of app.messages.visible) {
    const steps = app.follow.chain({type: "message", i}).steps.size;
    if (best === null || steps > best.steps) best = {i, steps};
    answered ||= app.run.messages.answer[i] >= 0;
  }
  if (best !== null) {
    app.select({type: "message", i: best.i});
    app.draw();
    // A short run may end before there is an answer.
    check("a message leads to others", best.steps > 1 || !answered);
    check("a followed message is told", document.getElementById("details")
        .textContent.includes(app.run.messages.name.at(best.i)));
    check("the document stays small, whatever the run",
          document.querySelectorAll("*").length < ELEMENTS_MAX);
    const p = app.messages.ends(best.i, app.view);
    // Lanes that it crosses are above it.
    check("an arrow is found under the mouse", [0.2, 0.4, 0.6, 0.8].some(
        (s) => app.hit(p.x0 + (p.x1 - p.x0) * s,
                       p.y0 + (p.y1 - p.y0) * s)?.type === "message"));
    app.select(null);
  }
}

function press(key) {
  document.dispatchEvent(new KeyboardEvent("keydown", {key, cancelable: true}));
}

function checkInput(app, check) {
  const view = app.view;
  let span = view.span;
  const box = app.canvas.getBoundingClientRect();
  app.canvas.dispatchEvent(new WheelEvent("wheel", {
    deltaY: -120, clientX: box.left + view.left + view.width / 2,
    clientY: box.top + 60, cancelable: true,
  }));
  check("the wheel zooms in", view.span < span);
  span = view.span;
  press("-");
  check("the key - zooms out", view.span > span);
  const left = view.t0;
  press("ArrowLeft");
  check("the left arrow moves back", view.t0 < left);

  app.draw();
  const arrows = app.messages.visible.length;
  if (arrows > 0) {
    const group = app.run.messages.group[app.messages.visible[0]];
    const toggle = document.querySelectorAll("#legend label input")[group];
    toggle.click();
    app.draw();
    check("a kind of message can be hidden",
          app.messages.visible.length < arrows);
    toggle.click();
  }
  const lane = document.querySelector("#labels button");
  const height = app.lanes.lanes[0].height;
  lane.click();
  check("a lane can be hidden", app.lanes.lanes[0].height < height);
  lane.click();
}

// Where the window has a point of the picture.
function onScreen(app, x, y) {
  const box = app.canvas.getBoundingClientRect();
  return {clientX: box.left + x, clientY: box.top + y};
}
// Whether the mouse gets to the picture there.
function isInSight(app, x, y) {
  const {clientX, clientY} = onScreen(app, x, y);
  return document.elementFromPoint(clientX, clientY) === app.canvas;
}
function mouse(app, type, x, y) {
  app.canvas.dispatchEvent(new PointerEvent(type, {
    ...onScreen(app, x, y), pointerId: 1, pointerType: "mouse", isPrimary: true,
    cancelable: true,
  }));
}

// A point of an arrow, {i, x, y}, that no other one is close to.
function findArrow(app) {
  const view = app.view;
  for (const i of app.messages.visible) {
    const p = app.messages.ends(i, view);
    for (const s of [0.5, 0.35, 0.65, 0.2, 0.8]) {
      const x = Math.round(p.x0 + (p.x1 - p.x0) * s);
      const y = Math.round(p.y0 + (p.y1 - p.y0) * s);
      if (x < view.left + 2 || x > view.left + view.width - 2) continue;
      const alone = [-1, 0, 1].every((dx) => {
        const hit = app.hit(x + dx, y);
        return hit !== null && hit.type === "message" && hit.i === i;
      });
      if (alone && isInSight(app, x, y)) return {i, x, y};
    }
  }
  return null;
}
// A point of an event's tick, over which nothing else is.
function findTick(app) {
  const view = app.view;
  const e = app.run.events;
  for (let i = lowerBound(e.time, view.t0);
       i < e.count && e.time[i] < view.t1; ++i) {
    const lane = app.lanes.lanes[e.lane[i]];
    if (lane === undefined || lane.hidden || !lane.machine.server) continue;
    const x = Math.round(view.x(e.time[i]));
    const y = Math.round(lane.top + BAND - 2);
    if (x > view.left && isInSight(app, x, y) &&
        app.hit(x, y)?.type === "event") {
      return {x, y};
    }
  }
  return null;
}

function checkMouse(app, check) {
  const m = app.run.messages;
  if (m.count === 0) return;
  // Few enough to be told apart.
  const few = 40;
  if (m.count <= few) {
    const margin = (app.run.to - app.run.from) * 0.02;
    app.view.set(app.run.from - margin, app.run.to + margin);
  } else {
    const first = Math.floor(m.count / 2);
    app.view.set(m.sent[first], m.sent[Math.min(m.count - 1, first + few)]);
  }
  app.draw();

  const tick = findTick(app);
  check("an event is in sight", tick !== null);
  if (tick !== null) {
    mouse(app, "pointermove", tick.x, tick.y);
    check("the mouse over an event tells its number",
          !app.tip.hidden && app.tip.textContent.startsWith("event #"));
  }
  const arrow = findArrow(app);
  check("a message is in sight", arrow !== null);
  if (arrow === null) return;
  const {i, x, y} = arrow;
  mouse(app, "pointermove", x, y);
  const told = app.tip.textContent;
  check("the mouse over a message tells what it says", !app.tip.hidden &&
        told.includes(app.details.messageName(i)) &&
        told.includes(m.text.at(i)) && told.includes("sent "));
  check("nothing is followed before a click", app.selected === null);

  // Only a real pointer can be captured.
  app.canvas.setPointerCapture = () => {};
  mouse(app, "pointerdown", x, y);
  mouse(app, "pointerup", x, y);
  delete app.canvas.setPointerCapture;
  app.draw();
  const details = document.getElementById("details");
  check("a click on a message follows it",
        app.selected?.type === "message" && app.selected.i === i &&
        app.chain.steps.get(i) === 0);
  check("what is followed is told", details.textContent.includes("Followed") &&
        details.textContent.includes(m.text.at(i)) &&
        details.textContent.includes(`${app.run.command} --goto=`));
  mouse(app, "pointerleave", x, y);
  check("the tip goes with the mouse", app.tip.hidden);
  press("Escape");
  check("the key Esc follows nothing",
        app.selected === null && details.textContent === "");
}

// What one drawing asks the canvas for, counted by method.
function countCalls(app, methods) {
  const ctx = app.canvas.getContext("2d");
  let calls = 0;
  for (const method of methods) {
    ctx[method] = (...args) => {
      ++calls;
      CanvasRenderingContext2D.prototype[method].apply(ctx, args);
    };
  }
  app.draw();
  for (const method of methods) delete ctx[method];
  return calls;
}

// However many events there are, a frame has no more in it than there is room
// for: a few things at each pixel of a lane, and so many arrows.
function checkWork(app, check) {
  const pixels = app.lanes.lanes.length * app.view.width;
  const arrows = app.messages.visible.length;
  const shapes = countCalls(app, [
    "fillRect", "strokeRect", "fill", "stroke", "fillText",
  ]);
  const points = countCalls(app, ["moveTo", "lineTo"]);
  const counts = `${shapes} shapes of ${points} points, ${arrows} arrows`;
  check(`there are too many arrows: ${counts}`, arrows <= ARROWS_MAX);
  check(`there are too many shapes: ${counts}`,
        shapes <= 5 * pixels + 3 * ARROWS_MAX);
  check(`there are too many points: ${counts}`,
        points <= 4 * pixels + 12 * ARROWS_MAX);
  return counts;
}
