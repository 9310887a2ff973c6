// What every page does in the browser: theme, rail, copying, search key, menus, ages, ticks, errors of htmx.
"use strict";

const all = (selector, within = document) => within.querySelectorAll(selector);
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private window: not kept */ } };
const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

// --- ages: the words of console/templatetags/look.py, kept current; the exact time in this browser's zone ----------
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
function ageInWords(moment, now) {
  const seconds = (now - moment) / 1000;
  const size = Math.abs(seconds);
  if (size >= 60 * 86400) {
    return `${moment.getDate()} ${MONTHS[moment.getMonth()]} ${moment.getFullYear()}`;
  }
  if (size < 45) return seconds >= 0 ? "just now" : "in a moment";
  const words = size < 3600 ? `${Math.max(1, Math.round(size / 60))} min`
    : size < 86400 ? `${Math.floor(size / 3600)} h` : `${Math.floor(size / 86400)} d`;
  return seconds >= 0 ? `${words} ago` : `in ${words}`;
}
function tellAges(within = document) {
  const now = new Date();
  const timeZone = document.documentElement.dataset.timeZone; // the person's own choice; otherwise this browser's
  for (const time of all("time[data-age]", within)) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const words = ageInWords(moment, now);
    if (time.textContent !== words) time.textContent = words;
    time.title = moment.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long", timeZone });
  }
}

// --- toasts: for what happened elsewhere, and for a request that got no answer --------------------------------------
function toast(text, tone = "stopped") {
  const template = document.createElement("div");
  template.className = "toast-note";
  template.dataset.tone = tone;
  template.dataset.toast = "";
  const mark = document.createElement("span");
  mark.className = "mark";
  const words = document.createElement("span");
  words.className = "text";
  words.textContent = text;
  const close = document.createElement("button");
  close.className = "btn btn-ghost btn-sm btn-icon";
  close.type = "button";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  template.append(mark, words, close);
  const room = document.getElementById("toasts");
  for (const other of all("[data-toast]", room)) {
    if (other.querySelector(".text").textContent === text) other.remove();
  }
  room.prepend(template);
}

// --- copying --------------------------------------------------------------------------------------------------------
async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP has no clipboard: the old way still works there.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    if (!done) return toast("This browser did not let Muster copy. Select the text and copy it.", "attention");
  }
  button.dataset.copied = "";
  button.setAttribute("aria-description", "Copied");
  setTimeout(() => { delete button.dataset.copied; button.removeAttribute("aria-description"); }, 1200);
}

// --- theme and rail -------------------------------------------------------------------------------------------------
function showTheme() {
  const choice = recall("theme") || "auto";
  for (const button of all("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
}
function foldRail() {
  const root = document.documentElement;
  const folded = root.dataset.rail !== "folded";
  if (folded) root.dataset.rail = "folded"; else delete root.dataset.rail;
  remember("rail", folded ? "folded" : "open");
}

// --- clicks, keys -----------------------------------------------------------------------------------------------------
document.addEventListener("click", (event) => {
  const target = event.target;
  for (const menu of all("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  if (target.closest("[aria-disabled='true']")) return event.preventDefault();
  const button = target.closest("button");
  if (!button) return undefined;
  if (button.dataset.copy !== undefined) return copy(button);
  if (button.dataset.foldRail !== undefined) return foldRail();
  if (button.dataset.dismiss !== undefined) return button.closest("[data-toast], .alert").remove();
  if (button.dataset.themeChoice) {
    remember("theme", button.dataset.themeChoice);
    dispatchEvent(new Event("muster:theme"));
    return showTheme();
  }
  if (button.dataset.reveal !== undefined) {
    const input = button.parentElement.querySelector("input");
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
    return input.focus();
  }
  return undefined;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of all("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const searches = [...all("[data-search]")].filter((input) => input.offsetParent);
    const search = searches.find((input) => input.closest("main")) || searches[0];
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
  const details = event.target.closest("details.menu[open]");
  if (details && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const items = [...all(".menu-item", details)];
    const at = items.indexOf(document.activeElement);
    const next = items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1) + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) % items.length];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

// A plain form answers at once too: its button shows that it works, and cannot be sent twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented || button.closest("[hx-post], [hx-get]")) return;
  if (event.target.method === "get") return;
  setTimeout(() => { button.dataset.busy = ""; });
});
addEventListener("pageshow", () => { for (const button of all("[data-busy]")) delete button.dataset.busy; });

// --- ticks: a form[data-bulk] with input[name=ids] rows and a bar (components/bulk_bar.html) -------------------------
const ticks = (form) => [...all("input[type=checkbox][name=ids]", form)];
function showBulk(form) {
  const bar = form.querySelector("[data-bulk-bar]");
  const boxes = ticks(form);
  const ticked = boxes.filter((box) => box.checked).length;
  const matching = form.querySelector("[data-bulk-all-matching]");
  const total = Number(form.dataset.total || 0);
  if (ticked < boxes.length || !ticked) matching.value = "";
  const everything = matching.value === "1";
  bar.hidden = !ticked;
  bar.querySelector("[data-bulk-count]").textContent = everything ? `All ${total.toLocaleString("en-GB").replaceAll(",", "\u202f")}` : ticked;
  const match = bar.querySelector("[data-bulk-match]");
  if (match) match.hidden = everything || ticked < boxes.length || total <= boxes.length;
  const head = form.querySelector("[data-bulk-all]");
  if (head) {
    head.checked = boxes.length > 0 && ticked === boxes.length;
    head.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  form.tickedIds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
}
let lastTicked = null;
document.addEventListener("click", (event) => {
  const form = event.target.closest("form[data-bulk]");
  if (!form) return;
  if (event.target.matches("input[name=ids]")) {
    const boxes = ticks(form);
    if (event.shiftKey && lastTicked && boxes.includes(lastTicked)) {
      const [from, to] = [boxes.indexOf(lastTicked), boxes.indexOf(event.target)].sort((a, b) => a - b);
      for (const box of boxes.slice(from, to + 1)) box.checked = event.target.checked;
    }
    lastTicked = event.target;
  } else if (event.target.matches("[data-bulk-all]")) {
    for (const box of ticks(form)) box.checked = event.target.checked;
  } else if (event.target.closest("[data-bulk-match]")) {
    form.querySelector("[data-bulk-all-matching]").value = "1";
  } else if (event.target.closest("[data-bulk-clear]")) {
    for (const box of ticks(form)) box.checked = false;
  } else {
    return;
  }
  showBulk(form);
});
// A refreshed row keeps its tick; a row that left the page loses it, since nobody can see it any more. What was chosen
// is ours, not the server's: a refresh that carries something else does not touch it, not even for a moment.
const CHOSEN = { checked: "[name=ids], [data-bulk-all]", value: "[data-bulk-all-matching]" };
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => !(CHOSEN[name] && element.matches(CHOSEN[name]));
function restoreTicks() {
  for (const form of all("form[data-bulk]")) {
    const matching = form.querySelector("[data-bulk-all-matching]");
    const asked = [...all("input[type=hidden]", form)].filter((input) => input !== matching).map((input) => input.value).join("\n");
    if ((form.askedFor ?? asked) !== asked) matching.value = ""; // another search: not all of that one
    form.askedFor = asked;
    if (form.tickedIds) for (const box of ticks(form)) box.checked = form.tickedIds.has(box.value);
    showBulk(form);
  }
}

// --- htmx: quiet refreshes, and errors in words ------------------------------------------------------------------------
const isHint = (event) => event.detail.requestConfig?.triggeringEvent?.type === "hint";
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target && isHint(event)) event.detail.target.dataset.quietly = "";
});
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.target) delete event.detail.target.dataset.quietly; });
document.addEventListener("htmx:afterSwap", () => { tellAges(); restoreTicks(); });
// A refresh that was asked for before a search answered shows what is no longer asked for: it asks again instead.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, requestConfig } = event.detail;
  if (!isHint(event) || elt.getAttribute("hx-get") === requestConfig.path) return;
  event.detail.shouldSwap = false;
  htmx.trigger(elt, "hint");
});
document.addEventListener("htmx:sendError", (event) => {
  if (!isHint(event)) toast("Could not reach Muster. Check the connection, then try again.", "failed");
});
document.addEventListener("htmx:timeout", (event) => {
  if (!isHint(event)) toast("Muster took too long to answer. Try again in a moment.", "failed");
});
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401 || (status === 403 && event.detail.xhr.getResponseHeader("HX-Redirect"))) return location.reload();
  if (isHint(event)) return undefined;
  const words = { 403: "You may not do that. Ask the owner of this workspace.", 404: "That is no longer there. Reload the page.",
    409: "Somebody changed this meanwhile. Reload the page.", 429: "That was too often. Wait a minute, then try again." };
  return toast(words[status] || "Muster could not do that, and has noted why. Try again in a moment.", "failed");
});

function showPlace() { // on a phone the bar of many places is longer than the screen
  const here = document.querySelector(".bottombar [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
}

addEventListener("DOMContentLoaded", () => { tellAges(); showTheme(); restoreTicks(); showPlace(); });
setInterval(tellAges, 15000);
