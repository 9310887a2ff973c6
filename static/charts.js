// The charts on a server's page (templates/servers/charts.html), drawn by uPlot from its JSON. A hint reads them anew and
// changes them in place; the range stands in the address.
"use strict";

(() => {
  const HEIGHT = 132; // px; as .chart-plot
  const SELDOM = 20000; // ms between two refreshes by hints
  const DASHES = [[], [6, 4], [2, 3]];
  const zone = document.documentElement.dataset.timeZone || undefined; // the person's own choice; else this browser's
  const section = () => document.getElementById("charts");
  const within = (name) => section().querySelector(`[data-charts-${name}]`);
  const drawn = new Map(); // key → {figure, plot, top}
  let view = null; // the answer that is shown
  let asking = null;
  let askedAt = 0;
  let later = 0;

  // --- words ---------------------------------------------------------------------------------------------------------
  const short = (value) => String(value >= 100 ? Math.round(value) : Number(value.toFixed(value >= 10 ? 1 : 2)));
  function bytes(value) {
    let unit = "B";
    for (const larger of ["KB", "MB", "GB", "TB"]) {
      if (value < 1024) break;
      value /= 1024;
      unit = larger;
    }
    return `${unit === "B" ? Math.round(value) : short(value)} ${unit}`;
  }
  const UNITS = {
    percent: (value) => `${short(value)} %`,
    number: (value) => short(value),
    bytes,
    rate: (value) => `${bytes(value)}/s`,
  };
  const told = (unit, value) => (value === null || value === undefined ? "–" : UNITS[unit](value));
  const dates = (options) => { const made = new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }); return (at) => made.format(at * 1000); };
  const clock = dates({ hour: "2-digit", minute: "2-digit" });
  const day = dates({ day: "numeric", month: "short" });
  const month = dates({ month: "short", year: "numeric" });
  const exact = dates({ dateStyle: "medium", timeStyle: "short" });
  const ticks = (_, splits, __, ___, step) => splits.map((at) => (step >= 28 * 86400 ? month(at) : step >= 86400 || clock(at) === "00:00" ? day(at) : clock(at)));
  function extremes(values) {
    const heard = values.filter((value) => value !== null);
    return heard.length ? { last: heard.at(-1), low: Math.min(...heard), high: Math.max(...heard) } : null;
  }

  // --- one chart -------------------------------------------------------------------------------------------------------
  function ink(name) { // a canvas knows no custom properties: the browser works them out on an element
    const probe = document.createElement("i");
    probe.className = "chart-probe";
    probe.dataset.ink = name;
    section().append(probe);
    const color = getComputedStyle(probe).color;
    probe.remove();
    return color;
  }
  function element(tag, name = "", text = "") {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.textContent = text;
    return made;
  }
  function alone(plot, line) { // a point between two silences has no line to be seen by
    const values = plot.data[line];
    const found = [];
    values.forEach((value, at) => { if (value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null) found.push(at); });
    return found;
  }
  function frame(chart) {
    const figure = element("figure", "chart");
    const caption = element("figcaption");
    const lines = element("span", "chart-lines");
    chart.lines.forEach((line, number) => {
      const one = element("span");
      const key = element("i", "chart-key");
      key.dataset.ink = number + 1;
      one.append(...(chart.lines.length > 1 ? [key, `${line.label} `] : []), element("b"));
      lines.append(one);
    });
    const title = element("h3", "", chart.title);
    title.title = chart.title;
    caption.append(title, lines);
    const plot = element("div", "chart-plot");
    plot.tabIndex = 0;
    plot.setAttribute("role", "img");
    figure.append(caption, plot, element("p", "chart-range"));
    return figure;
  }
  function show(one, at = null) { // the values beside the title: of the moment that is pointed at, else the last
    const { chart } = one;
    one.figure.querySelectorAll(".chart-lines b").forEach((place, number) => {
      const { values } = chart.lines[number];
      place.textContent = told(chart.unit, at === null ? extremes(values)?.last : values[at]);
    });
  }
  function summarize({ figure, chart }) {
    const many = chart.lines.length > 1;
    const found = chart.lines.map((line) => [line.label, extremes(line.values)]).filter(([, of]) => of);
    const say = (value) => told(chart.unit, value);
    figure.querySelector(".chart-range").textContent = found.map(([label, of]) => `${many ? `${label} ` : ""}${say(of.low)} to ${say(of.high)}`).join(" · ");
    const words = found.map(([label, of]) => `${many ? `${label}: ` : ""}last ${say(of.last)}, lowest ${say(of.low)}, highest ${say(of.high)}`);
    figure.querySelector(".chart-plot").setAttribute("aria-label", `${chart.title}. ${words.join("; ")}. Arrow keys tell moment by moment.`);
  }
  function options(one) {
    const { chart, figure } = one;
    const words = ink("words");
    const grid = { stroke: ink("grid"), width: 1 };
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const binary = chart.unit === "bytes" || chart.unit === "rate";
    return {
      width: figure.querySelector(".chart-plot").clientWidth || 320,
      height: HEIGHT,
      ...(zone ? { tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone) } : {}),
      legend: { show: false },
      padding: [8, 8, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "server" }, points: { size: 6 } },
      scales: { x: { range: () => [view.since, view.until] }, y: { range: (_, __, high) => [0, Math.max(one.chart.top, (high ?? 0) * 1.05, 1e-9)] } },
      axes: [
        { stroke: words, grid, ticks: { show: false }, font, size: 22, gap: 4, space: 56, values: ticks },
        {
          stroke: words, grid, ticks: { show: false }, font, size: 58, gap: 4, space: 32,
          incrs: binary ? Array.from({ length: 48 }, (_, power) => 2 ** power) : [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000],
          values: (_, splits) => splits.map((value) => told(chart.unit, value)),
        },
      ],
      series: [{}, ...chart.lines.map((_, number) => ({
        stroke: ink(String(number + 1)), width: 1.5, dash: DASHES[number], spanGaps: false,
        ...(chart.lines.length === 1 ? { fill: ink("fill") } : {}),
        points: { show: false, filter: alone, size: 4, fill: ink(String(number + 1)) },
      }))],
      hooks: { setCursor: [(plot) => show(one, plot.cursor.idx ?? null)] },
    };
  }
  const data = (chart) => [view.at, ...chart.lines.map((line) => line.values)];
  function draw(chart) {
    let one = drawn.get(chart.key);
    if (one && one.chart.lines.length === chart.lines.length) {
      one.chart = chart;
      one.plot.setData(data(chart));
    } else {
      one?.plot.destroy();
      one?.figure.remove();
      one = { chart, figure: frame(chart) };
      drawn.set(chart.key, one);
      within("room").append(one.figure);
      one.plot = new uPlot(options(one), data(chart), one.figure.querySelector(".chart-plot"));
      width.observe(one.figure);
    }
    show(one, one.plot.cursor.idx ?? null);
    summarize(one);
    return one.figure;
  }
  function again() { // other colours: everything anew
    if (!section()) return;
    for (const one of drawn.values()) {
      one.plot.destroy();
      one.plot = new uPlot(options(one), data(one.chart), one.figure.querySelector(".chart-plot"));
    }
  }
  const width = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const one = [...drawn.values()].find((other) => other.figure === target);
      const wide = target.clientWidth;
      if (one && wide && wide !== one.plot.width) one.plot.setSize({ width: wide, height: HEIGHT });
    }
  });

  // --- all of them -----------------------------------------------------------------------------------------------------
  function paint(answer) {
    view = answer;
    const keep = new Set(answer.charts.map((chart) => chart.key));
    for (const [key, one] of drawn) {
      if (keep.has(key)) continue;
      one.plot.destroy();
      one.figure.remove();
      drawn.delete(key);
    }
    const room = within("room");
    room.querySelector(".empty")?.remove();
    const figures = answer.charts.map(draw);
    if (figures.some((figure, number) => room.children[number] !== figure)) room.append(...figures);
    if (!figures.length) room.append(within("empty").content.cloneNode(true));
    const last = answer.at.at(-1);
    const { disks, nics } = answer.left_out;
    const more = [disks && `${disks} more disks`, nics && `${nics} more networks`].filter(Boolean).join(" and ");
    within("said").textContent = [
      last && answer.until - last > answer.step + answer.gap ? `Nothing was heard since ${exact(last)}.` : "",
      more ? `${more} are not drawn.` : "",
    ].filter(Boolean).join(" ");
  }
  function fail(words) {
    within("said").textContent = "";
    within("failed").hidden = false;
    within("failed").firstElementChild.textContent = words;
  }
  const chosen = () => section().querySelector("[data-range][aria-current]").dataset.range;
  async function ask() {
    clearTimeout(later);
    later = 0;
    asking?.abort();
    const mine = asking = new AbortController();
    askedAt = Date.now();
    const timer = setTimeout(() => mine.abort("slow"), 20000);
    try {
      const reply = await fetch(`${section().dataset.charts}?range=${chosen()}`, { headers: { "HX-Request": "true" }, signal: mine.signal });
      if (reply.status === 401) return fail("You are signed out. Reload the page to sign in.");
      if (reply.status === 404) return fail("This server is no longer there. Reload the page.");
      if (!reply.ok) return fail("Muster could not read the charts, and has noted why.");
      const answer = await reply.json();
      if (asking !== mine || !section()) return undefined;
      within("failed").hidden = true;
      paint(answer);
    } catch (fault) {
      if (asking === mine && section()) fail(mine.signal.reason === "slow" ? "The charts took too long to come." : "Could not reach Muster to read the charts.");
    } finally {
      clearTimeout(timer);
      if (asking === mine && section()) within("room").removeAttribute("aria-busy");
    }
    return undefined;
  }
  function choose(link) {
    for (const other of section().querySelectorAll("[data-range]")) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    const address = new URL(location.href);
    address.searchParams.set("range", link.dataset.range);
    history.replaceState(history.state, "", address);
    within("room").setAttribute("aria-busy", "true"); // what is there stays, dimmed
    ask();
  }
  function step(plot, key) { // by keyboard, moment by moment
    const one = [...drawn.values()].find((other) => plot === other.figure.querySelector(".chart-plot"));
    const heard = view.at.map((_, at) => at).filter((at) => one.chart.lines.some((line) => line.values[at] !== null));
    const place = heard.indexOf(one.plot.cursor.idx ?? -1);
    const moves = { ArrowLeft: place < 0 ? heard.length - 1 : Math.max(0, place - 1), ArrowRight: place < 0 ? 0 : Math.min(heard.length - 1, place + 1), Home: 0, End: heard.length - 1 };
    const at = heard[moves[key]];
    if (at === undefined) return false;
    one.plot.setCursor({ left: one.plot.valToPos(view.at[at], "x"), top: 0 });
    within("at").textContent = `${exact(view.at[at])}: ${one.chart.lines.map((line) => `${line.label} ${told(one.chart.unit, line.values[at])}`).join(", ")}`;
    return true;
  }

  function start() { // a section comes with the page, or with an agent that enrols while somebody looks at it
    if (!section() || section().dataset.started !== undefined) return;
    section().dataset.started = "";
    for (const one of drawn.values()) one.plot.destroy();
    drawn.clear();
    section().addEventListener("click", (event) => {
      const link = event.target.closest("[data-range]");
      if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        choose(link);
      } else if (event.target.closest("[data-charts-again]")) {
        ask();
      }
    });
    section().addEventListener("keydown", (event) => {
      const plot = event.target.closest(".chart-plot");
      if (plot && step(plot, event.key)) event.preventDefault();
    });
    ask();
  }

  Idiomorph.defaults.callbacks.beforeNodeMorphed = (was) => was.id !== "charts"; // the page is refreshed around it
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  document.addEventListener("hint", (event) => {
    if (later || !section() || !event.target.contains(section())) return;
    later = setTimeout(() => section() && ask(), Math.max(0, askedAt + SELDOM - Date.now()));
  });
  document.addEventListener("htmx:afterSettle", start);
  addEventListener("DOMContentLoaded", start);
})();
