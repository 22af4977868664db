// Colours and menu as they were chosen, before anything is painted. The rest of what pages do is in atlasco.js.
(() => {
  "use strict";

  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  // Private windows may have no storage.
  function read(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  }

  function apply() {
    const choice = read("atlasco-theme") ?? "auto";
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    root.classList.toggle("dark", dark);
    root.classList.toggle("light", !dark);
    root.dataset.theme = choice;
  }

  apply();
  system.addEventListener("change", apply);
  addEventListener("atlasco:theme", apply);
  root.dataset.menu = read("atlasco-menu") === "hidden" ? "hidden" : "shown";
})();
