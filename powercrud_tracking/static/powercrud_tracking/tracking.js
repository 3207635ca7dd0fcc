// What the pages do by themselves. Without it they say the same, once.
"use strict";

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
