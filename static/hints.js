// The websocket says what changed; htmx refetches it through the ordinary view (DESIGN.md, rule 10).
// An element listens by its id (`id="server-7"`) or by `data-hints="servers accounts"`, with `hx-trigger="hint"`.
"use strict";

(() => {
  const light = document.getElementById("live");
  if (!light) return;
  const GATHER = 250; // ms: hints that come together are answered together
  const MANY = 8; // more changed rows than this: one refresh of their list costs less
  const SILENCE = 45000; // ms: the server says something at least every 20 s
  let waiting = new Set();
  let gathering = 0;
  let attempt = 0;
  let socket = null;
  let watch = 0;

  const show = (state, word) => {
    light.dataset.state = state;
    light.firstElementChild.textContent = word;
  };
  const listeners = (name) => [...document.querySelectorAll(`[data-hints~="${CSS.escape(name)}"]`)];
  const poke = (element) => htmx.trigger(element, "hint");

  function flush() {
    gathering = 0;
    if (document.hidden) return; // kept until somebody looks
    const names = waiting;
    waiting = new Set();
    const rows = [...names].filter((name) => document.getElementById(name));
    const lists = new Set([...names].flatMap(listeners));
    if (rows.length > MANY) {
      for (const kind of new Set(rows.map((name) => `${name.split("-")[0]}s`))) for (const list of listeners(kind)) lists.add(list);
    }
    for (const name of rows) {
      const row = document.getElementById(name);
      if (![...lists].some((list) => list.contains(row))) poke(row);
    }
    lists.forEach(poke);
  }
  function hear(name) {
    waiting.add(name);
    if (!gathering) gathering = setTimeout(flush, GATHER);
  }
  function alive() {
    clearTimeout(watch);
    watch = setTimeout(() => socket.close(), SILENCE); // a half-open line says nothing for ever: hang up and dial again
  }

  // Which servers somebody looks at: those are read anew within seconds (servers/watching.py). It is forgotten after a
  // minute, so it is said again while the page is open and in front.
  const LOOKS = 25000; // ms
  const UUID = /^server-([0-9a-f-]{36})$/;
  function look() {
    if (document.hidden || !socket || socket.readyState !== WebSocket.OPEN) return;
    const ids = [...document.querySelectorAll('[id^="server-"]')].map((element) => UUID.exec(element.id)?.[1]).filter(Boolean);
    if (ids.length) socket.send(JSON.stringify({ looking: ids.slice(0, 100) }));
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${light.dataset.url}`);
    socket.addEventListener("open", () => {
      attempt = 0;
      show("live", "Live");
      alive();
      for (const list of document.querySelectorAll("[data-hints]")) poke(list); // what was missed since it was drawn
    });
    socket.addEventListener("message", (event) => {
      alive();
      const said = JSON.parse(event.data);
      if (typeof said.changed === "string") hear(said.changed);
    });
    socket.addEventListener("close", (event) => {
      clearTimeout(watch);
      if (event.code === 4401) {
        show("off", "Signed out");
        return;
      }
      show("reconnecting", "Reconnecting");
      attempt += 1;
      const most = Math.min(30000, 500 * 2 ** attempt);
      setTimeout(connect, most / 2 + Math.random() * most / 2);
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    look();
    if (waiting.size) flush();
  });
  setInterval(look, LOOKS);
  addEventListener("DOMContentLoaded", connect);
})();
