/* Keepwell's own script. Everything works without it; with it: copy buttons, local times on hover, charts, graphs. */
(() => {
  "use strict";
  document.documentElement.classList.add("scripted");

  /* MLflow's clients print links of the form `/#/experiments/1/runs/ID`, `/#/models/NAME/versions/1`. */
  const elsewhere = () => {
    const run = location.hash.match(/^#\/experiments\/\d+\/runs\/(run_[0-9a-z]{26})/), experiment = location.hash.match(/^#\/experiments\/(\d{1,18})(?:\/|$)/);
    const model = location.hash.match(/^#\/models\/([^/?#]+)(?:\/versions\/(\d+))?/), logged = location.hash.match(/\/models\/(m-[0-9a-f]{32})/);
    const to = run ? `/runs/${run[1]}` : logged ? `/logged-models/${logged[1]}` : experiment ? `/experiments/${experiment[1]}`
      : model ? `/models/${model[1]}${model[2] ? `/versions/${model[2]}` : "/registry"}` : null;
    if (to) location.replace(to);
  };
  if (location.pathname === "/") { elsewhere(); addEventListener("hashchange", elsewhere); }

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const data = (id) => JSON.parse(document.getElementById(id).textContent);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      button.classList.add("done");
      setTimeout(() => { button.classList.remove("done"); }, 1200);
    });
  });

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = document.querySelector(".search input");
    if (box) { event.preventDefault(); box.focus(); }
  });

  for (const one of document.querySelectorAll("time[title]")) {
    const local = new Date(one.dateTime);
    if (!Number.isNaN(local.getTime())) {
      one.title = local.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) + " here · " + one.title;
    }
  }

  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") form.submit(); });
  }

  const three = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 100) return Math.round(value).toLocaleString("en");
    return Number(value.toPrecision(3)).toString();
  };

  const MARKS = { trained: "T", promoted: "P", incident: "!" };

  const markPlugin = (chart) => ({
    hooks: {
      draw: [(u) => {
        const ctx = u.ctx, ratio = devicePixelRatio;
        ctx.save();
        ctx.font = `600 ${12 * ratio}px ${token("--font")}`;
        ctx.textAlign = "center";
        if (chart.limit !== null && chart.limit !== undefined) {
          const y = u.valToPos(chart.limit, "y", true);
          ctx.strokeStyle = token("--bad"); ctx.lineWidth = 1.2 * ratio; ctx.setLineDash([6 * ratio, 4 * ratio]);
          ctx.beginPath(); ctx.moveTo(u.bbox.left, y); ctx.lineTo(u.bbox.left + u.bbox.width, y); ctx.stroke();
          ctx.fillStyle = token("--bad"); ctx.textAlign = "right";
          const said = `${chart.limitName} ${three(chart.limit)} ${chart.unit}`.trim(), wide = ctx.measureText(said).width;
          ctx.fillStyle = token("--surface"); ctx.globalAlpha = 0.85; ctx.fillRect(u.bbox.left + u.bbox.width - wide - 7 * ratio, y - 17 * ratio, wide + 6 * ratio, 15 * ratio);
          ctx.globalAlpha = 1; ctx.fillStyle = token("--bad");
          ctx.fillText(`${chart.limitName} ${three(chart.limit)} ${chart.unit}`.trim(), u.bbox.left + u.bbox.width - 4 * ratio, y - 5 * ratio);
          ctx.textAlign = "center"; ctx.setLineDash([]);
        }
        const dense = chart.marks.length > 30, taken = [];
        const order = { incident: 0, promoted: 1, trained: 2 };
        for (const mark of [...chart.marks].sort((a, b) => order[a.kind] - order[b.kind])) {
          const x = u.valToPos(mark.at, "x", true);
          if (x < u.bbox.left - 1 || x > u.bbox.left + u.bbox.width + 1) continue;
          const colour = mark.kind === "incident" ? token("--bad") : token("--text-3");
          ctx.strokeStyle = colour; ctx.globalAlpha = 0.55; ctx.lineWidth = ratio; ctx.setLineDash([2 * ratio, 3 * ratio]);
          if (!dense || mark.kind === "incident") {
            ctx.beginPath(); ctx.moveTo(x, u.bbox.top); ctx.lineTo(x, u.bbox.top + u.bbox.height); ctx.stroke();
          }
          ctx.setLineDash([]); ctx.globalAlpha = 1; ctx.fillStyle = colour;
          if (taken.some((other) => Math.abs(other - x) < 11 * ratio)) {
            ctx.fillRect(x - ratio / 2, u.bbox.top - 3 * ratio, ratio, 5 * ratio);
            continue;
          }
          taken.push(x);
          ctx.fillText(MARKS[mark.kind] || "•", x, u.bbox.top - 5 * ratio);
        }
        ctx.restore();
      }],
    },
  });

  const drawChart = (box) => {
    const chart = data(box.dataset.chart);
    const look = {
      forecast: { stroke: token("--accent"), width: 2, dash: [9, 4], points: { show: false } },
      main: { stroke: token("--accent"), width: 2, points: { show: chart.times.length < 40, size: 5 } },
      quiet: { stroke: token("--series-2"), width: 1.5, dash: [2, 4], points: { show: chart.times.length < 20, size: 4 } },
      dashed: { stroke: token("--text"), width: 1.5, dash: [2, 3], points: { show: false } },
      actual: { stroke: token("--text"), width: 1.5, points: { show: chart.times.length < 40, size: 4 } },
    };
    const axis = { stroke: token("--text-3"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line"), width: 1 }, font: `13px ${token("--font")}` };
    const reach = (u, low, high) => {
      const top = Math.max(high ?? 0, chart.limit ?? -Infinity);
      const from = chart.zero ? Math.min(0, low ?? 0) : low ?? 0;
      const room = (top - from || 1) * 0.08;
      return [from < 0 ? from - room : chart.zero ? from : from - room, top + room];
    };
    const eventsOf = (at) => {
      const from = chart.times[at], until = chart.times[at + 1] ?? Infinity;
      return chart.marks.filter((m) => m.at >= from && m.at < until).map((m) => m.text).join("; ") || "\u00a0";
    };
    const last = chart.lines[0].values.reduce((found, value, place) => value === null ? found : place, chart.times.length - 1);
    const rest = (u) => u.setLegend({ idx: last }, false);
    const dates = (u, ticks, axisIndex, space, step) => {
      let year = null;
      return ticks.map((t) => {
        const day = new Date(t * 1000), shown = day.getUTCFullYear();
        const text = step < 86400 ? day.toISOString().slice(11, 16)
          : day.toLocaleDateString("en-GB", step < 27 * 86400 ? { day: "numeric", month: "short", timeZone: "UTC" } : { month: "short", timeZone: "UTC" });
        const withYear = shown !== year;
        year = shown;
        return withYear ? `${text}\n${shown}` : text;
      });
    };
    const make = () => new uPlot({
      width: box.clientWidth, height: Number(box.dataset.height || 260), padding: [20, 26, 0, 0],
      cursor: { points: { size: 7 }, y: false },
      scales: { x: { time: true }, y: { range: reach } },
      axes: [{ ...axis, space: 70, values: dates }, { ...axis, size: 64, values: (u, ticks) => ticks.map((t) => `${three(t)}${chart.unit ? " " + chart.unit : ""}`) }],
      series: [
        { value: (u, t) => t === null ? "–" : new Date(t * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }), label: chart.when || "Week from" },
        ...chart.lines.map((line) => ({ label: line.name, spanGaps: false, ...look[line.style] || look.main, value: (u, v) => v === null ? "–" : `${three(v)} ${chart.unit}`.trim() })),
      ],
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      hooks: { ready: [rest], setCursor: [(u) => {
        const at = u.cursor.idx;
        if (at === null || at === undefined) rest(u);
        if (told) told.textContent = at === null || at === undefined ? "\u00a0" : eventsOf(at);
      }] },
      plugins: [markPlugin(chart)],
    }, [chart.times, ...chart.lines.map((line) => line.values)], box);
    const told = chart.marks.length ? box.parentNode.insertBefore(document.createElement("p"), box.nextSibling) : null;
    if (told) told.className = "chart-note";
    let plot = make();
    let width = box.clientWidth;
    new ResizeObserver(() => {
      if (box.clientWidth && box.clientWidth !== width) { width = box.clientWidth; plot.setSize({ width, height: plot.height }); }
    }).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot.destroy(); plot = make(); });
  };

  const drawGraph = (box) => {
    const graph = data(box.dataset.graph);
    const svgOf = (name, attributes, parent, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      parent.appendChild(made);
      return made;
    };
    const layout = new dagre.graphlib.Graph().setGraph({ rankdir: box.dataset.direction || "LR", nodesep: 12, ranksep: 34, marginx: 4, marginy: 4 });
    layout.setDefaultEdgeLabel(() => ({}));
    const cut = (text) => text.length > 30 ? text.slice(0, 14) + "…" + text.slice(-15) : text;
    for (const node of graph.nodes) layout.setNode(node.id, { width: Math.max(96, 7.6 * Math.max(cut(node.label).length, node.kind.length) + 24), height: 46 });
    for (const [from, to] of graph.edges) layout.setEdge(from, to);
    dagre.layout(layout);
    const size = layout.graph();
    const root = svgOf("svg", { class: size.width <= box.clientWidth * 1.3 ? "fits" : "", width: size.width, height: size.height, viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": box.dataset.label || "Graph" }, box);
    const down = (box.dataset.direction || "LR") === "TB";
    for (const edge of layout.edges()) {
      const from = layout.node(edge.v), to = layout.node(edge.w);
      const ends = down ? [{ x: from.x, y: from.y + from.height / 2 }, { x: to.x, y: to.y - to.height / 2 }]
        : [{ x: from.x + from.width / 2, y: from.y }, { x: to.x - to.width / 2, y: to.y }];
      const points = [ends[0], ...layout.edge(edge).points.slice(1, -1).filter((p) => down ? p.y > ends[0].y && p.y < ends[1].y : p.x > ends[0].x && p.x < ends[1].x), ends[1]];
      let path = `M${points[0].x} ${points[0].y}`;
      for (let i = 1; i < points.length; i += 1) {
        const a = points[i - 1], b = points[i], mx = (a.x + b.x) / 2, my = (a.y + b.y) / 2;
        path += down ? `C${a.x} ${my} ${b.x} ${my} ${b.x} ${b.y}` : `C${mx} ${a.y} ${mx} ${b.y} ${b.x} ${b.y}`;
      }
      svgOf("path", { class: "edge", d: path }, root);
    }
    for (const node of graph.nodes) {
      const at = layout.node(node.id);
      const group = svgOf(node.href ? "a" : "g", { class: `node ${node.tone || ""}`, ...(node.href ? { href: node.href } : {}) }, root);
      svgOf("title", {}, group, `${node.kind}: ${node.label}`);
      svgOf("rect", { x: at.x - at.width / 2, y: at.y - at.height / 2, width: at.width, height: at.height, rx: 6 }, group);
      svgOf("text", { class: "kind", x: at.x - at.width / 2 + 10, y: at.y - 5 }, group, node.kind);
      svgOf("text", { x: at.x - at.width / 2 + 10, y: at.y + 13 }, group, cut(node.label));
    }
  };

  const hoverMap = (wrap) => {
    const parts = wrap.querySelectorAll("svg.hovered");
    if (!parts.length) return;
    const box = document.createElement("div");
    box.className = "hover"; box.hidden = true; wrap.appendChild(box);
    let groups = null;
    const find = (event) => {
      const part = event.target.closest("svg.hovered");
      if (!groups || !part) return null;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(part.getScreenCTM().inverse());
      const group = groups[Number(part.dataset.group)];
      const place = group.boxes.findIndex(([x, y, w, h]) => at.x >= x && at.x < x + w && at.y >= y && at.y < y + h);
      return place < 0 ? null : [group.keys[place], group.said[place]];
    };
    wrap.addEventListener("pointerenter", () => {
      groups ??= [];
      if (!groups.length) fetch(wrap.dataset.names).then((answer) => answer.json()).then((found) => { groups = found; });
    }, { once: true });
    wrap.addEventListener("pointermove", (event) => {
      const found = groups && groups.length ? find(event) : null;
      box.hidden = !found;
      if (!found) return;
      box.textContent = found[1];
      const around = wrap.getBoundingClientRect();
      const left = Math.min(event.clientX - around.left + 12, around.width - box.offsetWidth);
      box.style.left = `${Math.max(0, left)}px`;
      box.style.top = `${event.clientY - around.top + 16}px`;
    });
    wrap.addEventListener("pointerleave", () => { box.hidden = true; });
    wrap.addEventListener("click", (event) => {
      const found = groups && groups.length ? find(event) : null;
      if (found) location.href = `${wrap.dataset.page}?${new URLSearchParams({ key: found[0] })}`;
    });
  };

  document.querySelectorAll(".map-wrap[data-names]").forEach(hoverMap);
  if (window.uPlot) document.querySelectorAll(".chart[data-chart]").forEach(drawChart);
  if (window.dagre) document.querySelectorAll(".graph[data-graph]").forEach(drawGraph);
})();
