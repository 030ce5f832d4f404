/* Learning curves of one run or of several: drawn with uPlot over what the server drew, sampled by the server to the
   pixels there are, smoothed here; followed while a run is running and the page is looked at. */
(() => {
  "use strict";
  const holder = document.getElementById("curves");
  if (!holder || !window.uPlot) return;
  const page = JSON.parse(holder.textContent);
  const state = { x: page.x, smooth: page.smooth, logX: page.logX, logY: page.logY };
  const panels = new Map();
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const place = new Map(page.runs.map((run, at) => [run.id, at]));
  const sync = uPlot.sync("curves");

  const short = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return `${Number(value.toPrecision(3)).toExponential()}`;
    return size >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(4)).toString();
  };
  const span = (seconds) => {
    if (seconds < 60) return `${Number(seconds.toPrecision(3))} s`;
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const along = (x) => state.x === "step" ? `step ${Math.round(x).toLocaleString("en")}`
    : state.x === "relative" ? span(x) : new Date(x * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

  /* The same as `curves.smoothed` on the server: sum(w^k x[n-k]) / sum(w^k). */
  const smoothed = (values, weight) => {
    if (weight <= 0) return values;
    let total = 0, mass = 0;
    return values.map((value) => {
      if (value === null) return null;
      total = total * weight + value;
      mass = mass * weight + 1;
      return total / mass;
    });
  };

  const tableOf = (one, weight) => {
    const start = state.x === "relative" && one.ats.length ? one.ats[0] : 0;
    const xs = state.x === "step" ? one.steps : one.ats.map((at) => (at - start) / 1000);
    const ys = smoothed(one.values, weight).map((y) => state.logY && y !== null && y <= 0 ? null : y);
    const order = xs.map((_, at) => at).filter((at) => !state.logX || xs[at] > 0);
    if (state.x !== "step" || order.some((at, rank) => rank && xs[at] < xs[order[rank - 1]])) order.sort((a, b) => xs[a] - xs[b] || a - b);
    return [order.map((at) => xs[at]), order.map((at) => ys[at])];
  };

  const linesOf = (panel) => {
    const faint = state.smooth > 0 && panel.curves.length <= 6;
    const lines = panel.curves.map((one) => ({ run: page.runs[place.get(one.run)], table: tableOf(one, state.smooth), faint: false }));
    return faint ? [...panel.curves.map((one, at) => ({ run: lines[at].run, table: tableOf(one, 0), faint: true })), ...lines] : lines;
  };

  const nearest = (xs, ys, at) => {
    for (let off = 0; off < xs.length; off += 1) {
      for (const side of [at - off, at + off]) {
        if (side >= 0 && side < xs.length && ys[side] !== null && ys[side] !== undefined) return side;
      }
    }
    return null;
  };

  const tip = (panel) => {
    const box = document.createElement("div");
    box.className = "curve-tip";
    box.hidden = true;
    const show = (u) => {
      const at = u.cursor.idx;
      if (at === null || at === undefined || u.cursor.left < 0 || !panel.over) { box.hidden = true; return; }
      const x = u.data[0][at], found = [];
      panel.lines.forEach((line, rank) => {
        if (line.faint) return;
        const side = nearest(u.data[0], u.data[rank + 1], at);
        if (side !== null && Math.abs(u.valToPos(u.data[0][side], "x") - u.cursor.left) < 24) found.push([u.data[rank + 1][side], line.run]);
      });
      if (!found.length) { box.hidden = true; return; }
      found.sort((a, b) => b[0] - a[0]);
      const near = found.reduce((best, one) => Math.abs(u.valToPos(one[0], "y") - u.cursor.top) < Math.abs(u.valToPos(best[0], "y") - u.cursor.top) ? one : best);
      const from = Math.max(0, Math.min(found.indexOf(near) - 5, found.length - 12));
      box.replaceChildren(...[along(x)].map((text) => Object.assign(document.createElement("p"), { textContent: text })),
        ...found.slice(from, from + 12).map((one) => {
          const row = document.createElement("p"), key = document.createElement("i"), name = document.createElement("span"), value = document.createElement("strong");
          key.className = `run-key run-${one[1].slot % 10}`;
          name.textContent = one[1].label; value.textContent = short(one[0]);
          row.className = one === near ? "near" : "";
          row.append(key, name, value);
          return row;
        }));
      box.hidden = false;
      const wide = u.over.clientWidth, left = u.cursor.left + 16 + box.offsetWidth > wide ? u.cursor.left - box.offsetWidth - 12 : u.cursor.left + 16;
      box.style.left = `${Math.max(0, left)}px`;
      box.style.top = `${Math.min(u.cursor.top + 12, Math.max(0, u.over.clientHeight - box.offsetHeight))}px`;
    };
    return {
      hooks: {
        ready: [(u) => {
          u.over.appendChild(box);
          u.over.addEventListener("pointerenter", () => { panel.over = true; });
          u.over.addEventListener("pointerleave", () => { panel.over = false; box.hidden = true; });
        }],
        setCursor: [show],
      },
    };
  };

  const DASHES = [[], [8, 4], [2, 3]];
  /* What decides how a plot is made; while it stays the same, new values are enough. */
  const shapeOf = (lines) => JSON.stringify([state.x, state.logX, state.logY, lines.map((line) => [line.run.slot, line.faint, line.table[0].length < 2])]);

  /* All lines on one axis, as uPlot wants them; where their points stand on it is kept while only values change. */
  const joined = (panel, lines, shape) => {
    if (panel.gridOf !== panel.curves || panel.gridShape !== shape) {
      const xs = Float64Array.from(new Set(lines.flatMap((line) => line.table[0]))).sort(), at = new Map();
      xs.forEach((x, place) => at.set(x, place));
      panel.grid = { xs: Array.from(xs), places: lines.map((line) => line.table[0].map((x) => at.get(x))) };
      panel.gridOf = panel.curves;
      panel.gridShape = shape;
    }
    const { xs, places } = panel.grid;
    return [xs, ...lines.map((line, rank) => {
      const column = new Array(xs.length).fill(undefined), values = line.table[1];
      places[rank].forEach((place, point) => { column[place] = values[point]; });
      return column;
    })];
  };

  const draw = (panel, anew = false) => {
    const lines = linesOf(panel), box = panel.box, shape = shapeOf(lines);
    panel.lines = lines;
    const data = joined(panel, lines, shape);
    if (panel.plot && !anew && panel.shape === shape) {
      const { min, max } = panel.plot.scales.x;
      panel.plot.setData(data, !panel.zoomed);
      if (panel.zoomed) panel.plot.setScale("x", { min, max });
      return;
    }
    panel.shape = shape;
    const axis = { stroke: token("--text-3"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line"), width: 1 }, font: `13px ${token("--font")}` };
    const height = Number(box.dataset.height || 220), size = { width: Math.max(120, box.clientWidth), height };
    const marks = (u, ticks) => ticks.map((t) => t === null ? "" : state.x === "relative" ? (t < 120 ? `${short(t)} s` : t < 7200 ? `${short(t / 60)} min` : `${short(t / 3600)} h`) : short(t));
    if (panel.plot) panel.plot.destroy();
    for (const child of box.querySelectorAll(".curve, p.quiet")) child.hidden = true;
    panel.plot = new uPlot({
      ...size, padding: [8, 12, 0, 0], legend: { show: false },
      cursor: { sync: { key: sync.key, setSeries: false, scales: ["x", null] }, points: { size: 7 }, y: false, focus: { prox: 24 }, drag: { x: true, y: false } },
      focus: { alpha: lines.length > 2 ? 0.3 : 1 },
      scales: { x: { time: state.x === "time", distr: state.logX ? 3 : 1 }, y: { distr: state.logY ? 3 : 1 } },
      axes: [{ ...axis, space: 70, size: state.x === "time" ? 48 : 30, ...(state.x === "time" ? {} : { values: marks }) }, { ...axis, size: 62, values: (u, ticks) => ticks.map((t) => t === null ? "" : short(t)) }],
      series: [{}, ...lines.map((line) => ({
        label: line.run.label, stroke: token(`--run-${line.run.slot % 10}`), width: line.faint ? 1 : 1.8, alpha: line.faint ? 0.28 : 1,
        dash: DASHES[Math.floor(line.run.slot / 10) % 3], spanGaps: true, points: { show: line.table[0].length < 2 ? true : false, size: 6 },
      }))],
      hooks: { setSelect: [(u) => { if (u.select.width > 4) zoom(panel, u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }] },
      plugins: [tip(panel)],
    }, data, box);
    panel.plot.over.addEventListener("dblclick", () => { if (panel.zoomed) { panel.zoomed = null; panel.curves = panel.whole; draw(panel); } });
  };

  const ask = async (names, points, more = {}) => {
    const url = new URL(page.curves, location.href);
    const quoted = names.map((name) => encodeURIComponent(name)).join(",");
    for (const [key, value] of Object.entries({ names: quoted, points, ...more })) url.searchParams.set(key, value);
    const answer = await fetch(url, { headers: { accept: "application/json" } });
    return answer.ok ? (await answer.json()).curves : null;
  };
  const points = (box) => Math.min(2000, Math.max(100, Math.round(box.clientWidth)));

  /* Past a zoom on steps, the server samples what is left of the axis anew. */
  const zoom = async (panel, from, to) => {
    panel.zoomed = [from, to];
    if (state.x !== "step" || !panel.sampled) return;
    const found = await ask([panel.name], points(panel.box), { start: Math.floor(from), end: Math.ceil(to) });
    if (!found || !panel.zoomed || panel.zoomed[0] !== from) return;
    panel.curves = found[panel.name] || [];
    draw(panel);
  };

  const take = (panel, curves) => {
    panel.whole = curves;
    panel.sampled = curves.some((one) => one.whole > one.steps.length);
    if (panel.zoomed) return;
    panel.curves = curves;
    draw(panel);
  };

  let wanted = new Set(), asked = 0;
  const load = async () => {
    asked = 0;
    const now = [...wanted];
    wanted = new Set();
    for (let from = 0; from < now.length; from += 6) {
      const some = now.slice(from, from + 6);
      const found = await ask(some.map((panel) => panel.name), points(some[0].box));
      if (found) some.forEach((panel) => take(panel, found[panel.name] || []));
    }
  };
  const want = (panel) => { wanted.add(panel); asked ||= setTimeout(load, 30); };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const panel = panels.get(entry.target.dataset.curve);
      if (!panel) continue;
      panel.visible = entry.isIntersecting;
      if (panel.visible && (panel.stale || !panel.whole)) { panel.stale = false; want(panel); }
      if (panel.visible && panel.late && panel.plot) { panel.late = false; draw(panel); }
    }
  }, { rootMargin: "200px" });
  const widths = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const panel = panels.get(entry.target.dataset.curve);
      if (panel && panel.plot && entry.target.clientWidth && panel.plot.width !== entry.target.clientWidth) panel.plot.setSize({ width: entry.target.clientWidth, height: panel.plot.height });
    }
  });
  const adopt = (box) => {
    const panel = { name: box.dataset.curve, box, curves: [], whole: null, plot: null, zoomed: null, visible: false, stale: false, late: false, shape: "", over: false };
    panels.set(panel.name, panel);
    seen.observe(box);
    widths.observe(box);
  };
  document.querySelectorAll("[data-curve]").forEach(adopt);
  const again = (anew) => {
    for (const panel of panels.values()) {
      if (!panel.plot) continue;
      if (panel.visible || anew) draw(panel, anew); else panel.late = true;
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again(true));

  /* The form works by itself; with scripts it is answered at once, and the address keeps what was chosen. */
  const form = document.querySelector("form[data-curves]");
  if (form) {
    const read = () => {
      const before = { ...state }, given = new FormData(form);
      state.x = given.get("x") || state.x;
      state.smooth = Number(given.get("smooth") || 0);
      state.logX = given.has("logx");
      state.logY = given.has("logy");
      const told = form.querySelector("output");
      if (told) told.textContent = state.smooth.toFixed(2);
      if (before.x !== state.x) for (const panel of panels.values()) if (panel.zoomed) { panel.zoomed = null; panel.curves = panel.whole; }
      const url = new URL(location.href);
      for (const [key, value] of [["x", state.x === "step" ? "" : state.x], ["smooth", state.smooth || ""], ["logx", state.logX ? "true" : ""], ["logy", state.logY ? "true" : ""]]) {
        if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
      }
      history.replaceState(null, "", url);
    };
    let frame = 0;
    form.addEventListener("input", (event) => {
      if (!["x", "smooth", "logx", "logy"].includes(event.target.name)) return;
      read();
      frame ||= requestAnimationFrame(() => { frame = 0; again(false); });
    });
    const find = form.querySelector("input[name=metric]");
    if (find) find.addEventListener("input", () => {
      const text = find.value.toLowerCase();
      for (const panel of panels.values()) panel.box.closest(".curve-panel").hidden = !panel.name.toLowerCase().includes(text);
    });
  }

  /* A run's line stands out while the pointer is on its name. */
  for (const key of document.querySelectorAll("[data-run]")) {
    const light = (on) => {
      for (const panel of panels.values()) {
        if (!panel.plot) continue;
        const rank = panel.plot.series.findIndex((one, at) => at && one.label === key.dataset.label && one.alpha === 1);
        panel.plot.setSeries(on && rank > 0 ? rank : null, { focus: true });
      }
    };
    key.addEventListener("pointerenter", () => light(true));
    key.addEventListener("pointerleave", () => light(false));
  }

  /* Live: a cheap question every few seconds while something runs and the page is looked at. */
  if (!page.live) return;
  let mark = page.mark, quiet = 0, timer = 0, running = true;
  const swap = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
      if (other) part.replaceWith(document.importNode(other, true));
    }
    const grid = document.querySelector(".curve-grid");
    for (const box of fresh.querySelectorAll("[data-curve]")) {
      if (panels.has(box.dataset.curve) || !grid) continue;
      const whole = document.importNode(box.closest(".curve-panel"), true);
      grid.append(whole);
      adopt(whole.querySelector("[data-curve]"));
    }
  };
  const tell = (told) => {
    let strange = false;
    for (const one of told.values) {
      const cells = document.querySelectorAll(`[data-value="${CSS.escape(`${one.run} ${one.name}`)}"]`);
      strange ||= !cells.length && !panels.has(one.name);
      for (const cell of cells) if (cell.textContent !== one.text) { cell.textContent = one.text; cell.title = one.exact; cell.classList.remove("fresh"); void cell.offsetWidth; cell.classList.add("fresh"); }
      const panel = panels.get(one.name);
      if (panel && panel.visible) want(panel); else if (panel) panel.stale = true;
    }
    return strange;
  };
  const poll = async () => {
    clearTimeout(timer);
    if (document.hidden || !running) return;
    try {
      const url = new URL(page.live, location.href);
      url.searchParams.set("after", mark);
      const answer = await fetch(url, { headers: { accept: "application/json" } });
      if (answer.ok) {
        const told = await answer.json();
        quiet = told.mark === mark ? quiet + 1 : 0;
        if (told.mark !== mark) {
          mark = told.mark;
          const strange = tell(told);
          if (strange || told.turned) await swap();
        }
        running = told.running;
      } else if (answer.status === 401 || answer.status === 404) running = false;
    } catch { quiet += 1; }
    if (running) timer = setTimeout(poll, Math.min(15000, 2000 * 1.5 ** Math.max(0, quiet - 2)));
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && running) poll(); });
  timer = setTimeout(poll, 1500);
})();
