// Polling and copy buttons of the pages. Without this script the pages work, but do not update.
"use strict";

// An element with data-poll asks its server every so many seconds for what has changed. htmx puts
// the answer in its place; when to ask, and what about, is decided here.
(() => {
  const LONGEST = 30;
  const READ = "[data-row]:focus-within, .tracking-overview details[open], .tracking-overview :focus-visible";

  function start(region) {
    const pace = Number(region.dataset.poll);
    const said = document.getElementById("tracking-said");
    const paused = document.getElementById("tracking-paused");
    let wait = pace;
    let token = "";
    let timer = null;
    let before = new Map();

    const getStatuses = () =>
      new Map([...document.querySelectorAll("[data-told]")].map((each) => [each.id, each.dataset.status]));
    const isDone = () => !region.isConnected || !(region.dataset.first || document.querySelector("[data-open]"));

    // A login page, for example, to which the server has redirected the request.
    const isElsewhere = ({ responseURL }) => responseURL && new URL(responseURL).pathname !== location.pathname;

    function plan(seconds) {
      clearTimeout(timer);
      if (!isDone()) timer = setTimeout(ask, seconds * 1000);
    }

    function ask() {
      // Do not update what the user is interacting with, nor a hidden tab.
      if (document.hidden || document.querySelector(READ)) return plan(pace);
      htmx.trigger(region, "tracking-poll");
    }

    region.addEventListener("htmx:configRequest", (event) => {
      before = getStatuses();
      if (token) event.detail.headers["If-None-Match"] = token;
      const rows = [...document.querySelectorAll("[data-row][data-open]")];
      if (rows.length) event.detail.parameters.row = rows.map((row) => row.dataset.row);
    });

    // htmx sends the event to the target, which may differ from the region that polls.
    document.addEventListener("htmx:beforeSwap", (event) => {
      const { xhr, requestConfig } = event.detail;
      if (requestConfig.elt !== region) return;
      if (xhr.status === 304 || isElsewhere(xhr)) event.detail.shouldSwap = false;
    });

    region.addEventListener("htmx:afterRequest", (event) => {
      const { xhr, xhr: { status } } = event.detail;
      const isRefused = isElsewhere(xhr) || [401, 403, 404].includes(status);
      const isAnswered = !isRefused && (status === 304 || (status >= 200 && status < 300));
      if (isAnswered) token = xhr.getResponseHeader("ETag") ?? "";
      wait = isAnswered ? pace : Math.min(wait * 2, LONGEST);
      paused.textContent = isAnswered ? "" : isRefused ? paused.dataset.refused : paused.dataset.text;
      const after = getStatuses();
      const changed = [...after].filter(([id, now]) => before.has(id) && before.get(id) !== now);
      if (changed.length) {
        said.textContent = changed.map(([id]) => document.getElementById(id).dataset.told).join(", ");
      }
      plan(wait);
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
  told.className = "tracking-unseen";
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
      // No clipboard without HTTPS, or access was denied: select the text, ready to be copied.
      getSelection().selectAllChildren(source);
      source.focus();
      tell(button, button.dataset.selected);
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy-from]");
    if (button) copy(button);
  });
  // Enable the copy buttons in content that htmx inserts later.
  document.addEventListener("htmx:load", (event) => show(event.target));
  (document.querySelector(".tracking") ?? document.body).append(told);
  show(document);
})();
