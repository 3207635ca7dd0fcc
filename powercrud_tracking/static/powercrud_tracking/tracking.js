// Polling and copy buttons of the pages. Without this script the pages work, but do not update.
"use strict";

// An element with data-poll=SECONDS requests changes from the server at that interval. htmx sends
// the request and swaps the response; this script decides when, and for which rows.
(() => {
  const MAX_DELAY = 30;
  const IN_USE = "[data-row]:focus-within, #tracking-actions:focus-within, .tracking-overview details[open], .tracking-overview :focus-visible";

  function start(region) {
    const interval = Number(region.dataset.poll);
    const announcement = document.getElementById("tracking-announcement");
    const paused = document.getElementById("tracking-paused");
    let delay = interval;
    let token = "";
    let timer = null;
    let before = new Map();
    let ticked = new Set();

    const getTicks = () => [...document.querySelectorAll("[data-row] input[type=checkbox]")];
    const getStatuses = () =>
      new Map([...document.querySelectorAll("[data-announcement]")].map((each) => [each.id, each.dataset.status]));
    const isDone = () => !region.isConnected || !(region.dataset.first || document.querySelector("[data-open]"));

    // The server has redirected the request, for example to a login page.
    const isRedirected = ({ responseURL }) => responseURL && new URL(responseURL).pathname !== location.pathname;

    function schedule(seconds) {
      clearTimeout(timer);
      if (!isDone()) timer = setTimeout(poll, seconds * 1000);
    }

    function poll() {
      // Do not update what the user is interacting with, nor a hidden tab.
      if (document.hidden || document.querySelector(IN_USE)) return schedule(interval);
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
      // At this moment, not when the request was sent: somebody may have changed the selection since.
      ticked = new Set(getTicks().filter((tick) => tick.checked).map((tick) => tick.value));
      if (xhr.status === 304 || isRedirected(xhr)) event.detail.shouldSwap = false;
    });

    region.addEventListener("htmx:afterRequest", (event) => {
      const { xhr, xhr: { status } } = event.detail;
      const isRefused = isRedirected(xhr) || [401, 403, 404].includes(status);
      const isAnswered = !isRefused && (status === 304 || (status >= 200 && status < 300));
      if (isAnswered) token = xhr.getResponseHeader("ETag") ?? "";
      delay = isAnswered ? interval : Math.min(delay * 2, MAX_DELAY);
      paused.textContent = isAnswered ? "" : isRefused ? paused.dataset.refused : paused.dataset.text;
      // Rows that were replaced keep their selection.
      for (const tick of getTicks()) tick.checked ||= ticked.has(tick.value);
      ticked.clear();
      const after = getStatuses();
      const changed = [...after].filter(([id, now]) => before.has(id) && before.get(id) !== now);
      if (changed.length) {
        announcement.textContent = changed.map(([id]) => document.getElementById(id).dataset.announcement).join(", ");
      }
      schedule(delay);
    });

    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) schedule(0);
    });

    schedule(interval);
  }

  function startAll() {
    if (window.htmx) document.querySelectorAll("[data-poll]").forEach(start);
  }

  if (document.readyState === "complete") startAll();
  else window.addEventListener("load", startAll);
})();

// Copy buttons: <button data-copy-from="ID" data-copied="..." data-selected="..." hidden>.
(() => {
  const status = document.createElement("p");
  status.className = "tracking-unseen";
  status.setAttribute("role", "status");

  const showButtons = (root) => {
    for (const button of root.querySelectorAll("[data-copy-from][hidden]")) button.hidden = false;
  };

  const showResult = (button, text) => {
    const label = button.dataset.label ?? button.textContent;
    button.dataset.label = label;
    button.textContent = status.textContent = text;
    clearTimeout(Number(button.dataset.timer));
    button.dataset.timer = setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 3000);
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copyFrom);
    if (!source) return;
    try {
      await navigator.clipboard.writeText(source.textContent);
      showResult(button, button.dataset.copied);
    } catch {
      // No clipboard without HTTPS, or access was denied: select the text, ready to be copied.
      getSelection().selectAllChildren(source);
      source.focus();
      showResult(button, button.dataset.selected);
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy-from]");
    if (button) copy(button);
  });
  // Enable the copy buttons in content that htmx inserts later.
  document.addEventListener("htmx:load", (event) => showButtons(event.target));
  (document.querySelector(".tracking") ?? document.body).append(status);
  showButtons(document);
})();

// Forms that htmx sends: where the answer is not this page, the browser opens it, as without script.
(() => {
  const getForm = ({ detail }) => detail.requestConfig?.elt.closest?.("form.tracking-action");

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (!getForm(event) || !xhr.responseURL || new URL(xhr.responseURL).pathname === location.pathname) return;
    event.detail.shouldSwap = false;
    if (xhr.status < 400) location.assign(xhr.responseURL);
  });
  for (const name of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(name, (event) => getForm(event)?.submit());
  }
})();

// Selecting all rows of a page: <input type="checkbox" data-tick-all="NAME" hidden>.
(() => {
  for (const all of document.querySelectorAll("[data-tick-all]")) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const tick of document.getElementsByName(all.dataset.tickAll)) tick.checked = all.checked;
    });
  }
})();
