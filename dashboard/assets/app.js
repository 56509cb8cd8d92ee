// The page without this script is whole; with it, the page stays true by
// itself. All HTML is the server's: this script asks for the same address
// again and puts the new parts in the place of the old ones.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const filter = $("filter");
  const link = $("link");
  document.documentElement.classList.add("scripted");

  // Rows that one has opened or closed stay so.
  const touched = new Set();
  document.addEventListener("click", (e) => {
    const key = e.target.closest("summary")?.parentElement.dataset.key;
    if (key) touched.add(key);
  });

  // swap replaces the live parts by those of html. What has the focus keeps it,
  // and nothing scrolls.
  function swap(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const open = new Map();
    for (const d of document.querySelectorAll("[data-live] details[data-key]")) if (touched.has(d.dataset.key)) open.set(d.dataset.key, d.open);
    const focus = trail(document.activeElement);
    const top = window.scrollY;
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const here = $(part.id);
      if (here) here.replaceChildren(...part.childNodes);
    }
    for (const d of document.querySelectorAll("[data-live] details[data-key]")) {
      if (open.has(d.dataset.key)) d.open = open.get(d.dataset.key);
    }
    ready(document);
    if (focus) focus()?.focus({ preventScroll: true });
    window.scrollTo({ top, behavior: "instant" });
  }

  // trail returns a way to find an element of a live part again: by its
  // address, the open row it is in, or its place among its like.
  function trail(e) {
    const part = e && e.closest("[data-live]");
    if (!part) return null;
    const key = e.tagName === "SUMMARY" && e.parentElement.dataset.key;
    if (key) return () => [...document.querySelectorAll("details[data-key]")].find((d) => d.dataset.key === key)?.querySelector("summary");
    const like = (root) => [...root.querySelectorAll(e.tagName)].filter((x) => x.getAttribute("href") === e.getAttribute("href"));
    const place = like(part).indexOf(e);
    return () => { const found = like($(part.id)); return found[place] || found[0]; };
  }

  // refresh asks for the live parts of the address that is shown.
  let asked = null;
  async function refresh() {
    asked?.abort();
    const mine = (asked = new AbortController());
    const url = new URL(location.href);
    url.searchParams.set("part", "live");
    const answer = await fetch(url, { signal: mine.signal, credentials: "same-origin" });
    if (!answer.ok) throw new Error(answer.statusText);
    const html = await answer.text();
    if (mine === asked) swap(html);
  }

  function quietly(promise) {
    promise.catch((e) => { if (e.name !== "AbortError") lost(); });
  }

  // The filter asks while one types, and the address follows.
  if (filter) {
    let soon = 0;
    const apply = () => {
      const q = new URLSearchParams();
      for (const [k, v] of new FormData(filter)) if (v) q.set(k, v);
      history.replaceState(null, "", q.size ? "?" + q : location.pathname);
      quietly(refresh().then(() => say($("matching") ? "Volumes: " + $("matching").textContent : "")));
    };
    filter.addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(apply, 60); });
    filter.addEventListener("submit", (e) => { e.preventDefault(); clearTimeout(soon); apply(); });
  }

  function say(text) { $("said").textContent = text; }

  // ready gives copy buttons their work.
  function ready(root) {
    for (const b of root.querySelectorAll("button.copy[hidden]")) {
      b.hidden = false;
      b.addEventListener("click", async () => {
        const code = b.parentElement.querySelector("code");
        getSelection().selectAllChildren(code);
        try {
          await navigator.clipboard.writeText(b.dataset.copy);
          say("Copied.");
          b.textContent = "Copied";
          setTimeout(() => { b.textContent = "Copy"; }, 2000);
        } catch {
          say("The command is selected: copy it with Ctrl-C."); // no clipboard without https
          b.textContent = "Press Ctrl-C";
        }
      });
    }
  }
  ready(document);

  // Live: one stream says when something has changed.
  if (!link) return;
  let stream = null, shown = document.body.dataset.sum, last = new Date(), watchdog = 0, retry = 0;
  const clock = (t) => t.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  function state(name, text) {
    link.dataset.state = name;
    if ($("link-text").textContent !== text) $("link-text").textContent = text;
  }
  function lost() {
    if (document.hidden) return;
    state("lost", "connection lost, last update " + clock(last));
    clearTimeout(retry);
    retry = setTimeout(connect, 3000);
  }
  function alive() {
    last = new Date();
    state("live", "live");
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, 40000);
  }
  function close() {
    stream?.close();
    stream = null;
    clearTimeout(watchdog);
    clearTimeout(retry);
  }
  function connect() {
    close();
    if (document.hidden) return;
    stream = new EventSource("/events");
    stream.addEventListener("beat", alive);
    stream.addEventListener("state", (e) => {
      if (e.data === shown) return alive();
      refresh().then(() => { shown = e.data; alive(); }).catch((err) => { if (err.name !== "AbortError") lost(); });
    });
    stream.onerror = () => { close(); lost(); };
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); state("still", "paused"); } else connect();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (e) => { if (e.persisted) connect(); });
  setInterval(() => { if (stream && !document.hidden) quietly(refresh()); }, 60000); // ages grow
  connect();
})();
