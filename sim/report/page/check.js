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

  checkFollow(app, check);
  checkInput(app, check);
  view.set(app.run.from, app.run.to);
  const began = performance.now();
  for (let i = 0; i < 5; ++i) app.draw();
  const frame = (performance.now() - began) / 5;
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
              `${frame.toFixed(1)} ms a frame of it all`);
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

function checkFollow(app, check) {
  // The message that led to most.
  let best = null;
  for (const i of app.messages.visible) {
    const steps = app.follow.chain({type: "message", i}).steps.size;
    if (best === null || steps > best.steps) best = {i, steps};
  }
  if (best !== null) {
    app.select({type: "message", i: best.i});
    app.draw();
    check("a message leads to others", best.steps > 1);
    check("a followed message is told", document.getElementById("details")
        .textContent.includes(app.run.messages.name.at(best.i)));
    const p = app.messages.ends(best.i, app.view);
    // Lanes that it crosses are above it.
    check("an arrow is found under the mouse", [0.2, 0.4, 0.6, 0.8].some(
        (s) => app.hit(p.x0 + (p.x1 - p.x0) * s,
                       p.y0 + (p.y1 - p.y0) * s)?.type === "message"));
    app.select(null);
  }
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
  const press = (key) => document.dispatchEvent(
      new KeyboardEvent("keydown", {key, cancelable: true}));
  span = view.span;
  press("-");
  check("the key - zooms out", view.span > span);
  const left = view.t0;
  press("ArrowLeft");
  check("the left arrow moves back", view.t0 < left);

  app.draw();
  const arrows = app.messages.visible.length;
  const group = app.run.messages.group[app.messages.visible[0]];
  const toggle = document.querySelectorAll("#legend label input")[group];
  toggle.click();
  app.draw();
  check("a kind of message can be hidden",
        arrows === 0 || app.messages.visible.length < arrows);
  toggle.click();
  const lane = document.querySelector("#labels button");
  const height = app.lanes.lanes[0].height;
  lane.click();
  check("a lane can be hidden", app.lanes.lanes[0].height < height);
  lane.click();
}
