// What the pages do by themselves. Without it they say the same, once.
"use strict";

(() => {
  // An element with data-poll asks its server every so many seconds for what has changed. htmx
  // puts the answer in its place; when to ask, and what about, is decided here.
  const LONGEST = 60;

  function start(region) {
    const pace = Number(region.dataset.poll);
    const said = document.getElementById("tracking-said");
    const paused = document.getElementById("tracking-paused");
    let wait = pace;
    let token = "";
    let timer = null;

    const findOpen = () => [...document.querySelectorAll("[data-row][data-open]")];
    const isReading = () => document.activeElement?.closest("[data-row]");
    const isDone = () => !region.isConnected || !(region.dataset.first || findOpen().length);

    function plan(seconds) {
      clearTimeout(timer);
      if (!isDone()) timer = setTimeout(ask, seconds * 1000);
    }

    function ask() {
      if (document.hidden || isReading()) return plan(pace);
      htmx.trigger(region, "tracking-poll");
    }

    region.addEventListener("htmx:configRequest", (event) => {
      if (token) event.detail.headers["If-None-Match"] = token;
      const keys = findOpen().map((row) => row.dataset.row);
      if (keys.length) event.detail.parameters.row = keys;
    });

    region.addEventListener("htmx:afterRequest", (event) => {
      const { status } = event.detail.xhr;
      const isAnswered = status === 304 || (status >= 200 && status < 300);
      if (isAnswered) token = event.detail.xhr.getResponseHeader("ETag") || token;
      wait = isAnswered ? pace : Math.min(wait * 2, LONGEST);
      paused.textContent = isAnswered ? "" : paused.dataset.text;
      plan(wait);
    });

    document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
      const before = event.detail.target;
      const after = event.detail.fragment.querySelector?.("[data-told]");
      if (after && before.dataset.status !== after.dataset.status) said.textContent = after.dataset.told;
    });

    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) plan(0);
    });

    plan(pace);
  }

  function startAll() {
    if (window.htmx) document.querySelectorAll("[data-poll]").forEach(start);
  }

  if (document.readyState === "complete") startAll();
  else window.addEventListener("load", startAll);
})();

// Copy buttons: <button data-copy-from="ID" data-copied="..." data-selected="..." hidden>.
(() => {
  const told = document.createElement("p");
  told.className = "tracking-told";
  told.setAttribute("role", "status");

  const show = (root) => {
    for (const button of root.querySelectorAll("[data-copy-from][hidden]")) button.hidden = false;
  };

  const tell = (button, words) => {
    const label = button.dataset.label ?? button.textContent;
    button.dataset.label = label;
    button.textContent = told.textContent = words;
    clearTimeout(Number(button.dataset.timer));
    button.dataset.timer = setTimeout(() => {
      button.textContent = label;
      told.textContent = "";
    }, 3000);
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copyFrom);
    if (!source) return;
    try {
      await navigator.clipboard.writeText(source.textContent);
      tell(button, button.dataset.copied);
    } catch {
      // No clipboard without HTTPS, or it was refused: select, so that one key does it.
      getSelection().selectAllChildren(source);
      source.focus();
      tell(button, button.dataset.selected);
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy-from]");
    if (button) copy(button);
  });
  // Whatever htmx puts into the page later has buttons too.
  document.addEventListener("htmx:load", (event) => show(event.target));
  (document.querySelector(".tracking") ?? document.body).append(told);
  show(document);
})();
