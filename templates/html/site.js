// What the site does beyond links: colours, search, copying. Every page is complete without it.
"use strict";

const THEME = "hubexport-theme";
const narrow = matchMedia("(max-width: 60rem)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);

// Browsers may refuse to keep things for pages from files.
function kept() {
  try { return localStorage.getItem(THEME); } catch { return null; }
}

function keep(theme) {
  try {
    if (theme) localStorage.setItem(THEME, theme);
    else localStorage.removeItem(THEME);
  } catch { /* then it is the system's again on the next page */ }
}

function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";

setTheme(kept());

function startTheme() {
  const button = byId("page.theme");
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.hidden = false;
  button.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    // What the system has anyway is not kept, so that the page follows it again.
    const chosen = wanted === (dark.matches ? "dark" : "light") ? null : wanted;
    setTheme(chosen);
    keep(chosen);
    show();
  });
  dark.addEventListener("change", show);
  show();
}

// Lists that stand open beside the text on wide screens are closed above it on narrow ones.
function startPanels() {
  const panels = document.querySelectorAll(".filters, .contents details");
  const fit = () => panels.forEach((panel) => { panel.open = !narrow.matches; });
  narrow.addEventListener("change", fit);
  fit();
}

// As folded() in summaries.py.
const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

function startSearch(form) {
  const items = Array.from(document.querySelectorAll("[data-search]"), (element) => ({
    element, text: element.dataset.search, facets: JSON.parse(element.dataset.facets),
  }));
  const query = byId("page.query");
  const boxes = Array.from(form.querySelectorAll("input[type=checkbox]"));

  const chosen = () => {
    const values = new Map();
    for (const box of boxes.filter((each) => each.checked)) {
      values.set(box.name, [...(values.get(box.name) || []), box.value]);
    }
    return values;
  };
  const matches = (item, words, values, except) =>
    words.every((word) => item.text.includes(word)) &&
    [...values].every(([key, wanted]) =>
      key === except || wanted.some((value) => (item.facets[key] || []).includes(value)));

  function show() {
    const words = folded(query.value).split(/\s+/).filter(Boolean);
    const values = chosen();
    let hits = 0;
    for (const item of items) {
      const hit = matches(item, words, values, null);
      item.element.hidden = !hit;
      hits += hit;
    }
    byId("page.hits").textContent =
      hits === items.length ? `${hits} models` : `${hits} of ${items.length} models`;
    byId("page.none").hidden = hits > 0;
    // How many there would be with this box: the other facets narrow, its own does not.
    for (const box of boxes) {
      const count = items.filter((item) => (item.facets[box.name] || []).includes(box.value) &&
        matches(item, words, values, box.name)).length;
      const chip = box.parentElement;
      chip.querySelector(".number").textContent = count;
      chip.classList.toggle("empty", count === 0);
    }
    byId("page.clear").hidden = words.length === 0 && values.size === 0;
  }

  // In the address after #, which pages from files may change too.
  function write() {
    const state = new URLSearchParams();
    if (query.value.trim()) state.set("q", query.value.trim());
    for (const [key, values] of chosen()) values.forEach((value) => state.append(key, value));
    const text = state.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  function read() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a place on the page
    const state = new URLSearchParams(hash);
    query.value = state.get("q") || "";
    for (const box of boxes) box.checked = state.getAll(box.name).includes(box.value);
    show();
  }

  const update = () => { show(); write(); };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { update(); query.focus(); }));
  addEventListener("hashchange", read);
  form.hidden = false;
  read();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed here: as browsers did before there was a clipboard to ask
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function addCopyButton(parent, text, name) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${name}`);
  button.addEventListener("click", async () => {
    await copy(text());
    button.textContent = "Copied";
    button.focus();
    byId("page.said").textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; byId("page.said").textContent = ""; }, 2000);
  });
  parent.append(button);
}

function startCopying() {
  document.querySelectorAll("[data-copy]").forEach((element) =>
    addCopyButton(element, () => element.dataset.copy, "handle"));
  document.querySelectorAll(".code").forEach((element) =>
    addCopyButton(element, () => element.querySelector("code").textContent, "code"));
}

document.addEventListener("DOMContentLoaded", () => {
  startTheme();
  startPanels();
  startCopying();
  const form = byId("page.search");
  if (form) startSearch(form);
});
