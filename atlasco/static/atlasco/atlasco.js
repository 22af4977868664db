// What the pages do beyond links and forms. No page needs it to be read; nothing here is inline, so a strict
// content security policy can stand.
(() => {
  "use strict";

  const day = { year: "numeric", month: "short", day: "numeric" };
  const formats = {
    day: new Intl.DateTimeFormat(undefined, day),
    time: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    second: new Intl.DateTimeFormat(undefined, { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    minute: new Intl.DateTimeFormat(undefined, { ...day, hour: "2-digit", minute: "2-digit" }),
  };

  // Instants come as UTC; people read their own zone, and find UTC in the tooltip.
  function localiseTimes(root) {
    for (const time of root.querySelectorAll("time[data-when]")) {
      const instant = new Date(time.dateTime);
      if (!Number.isNaN(instant.valueOf())) {
        time.textContent = (formats[time.dataset.when] ?? formats.minute).format(instant);
      }
      delete time.dataset.when;
    }
  }

  // A secret is in the answer to a POST. Reloading the page must neither send the form again nor show the secret.
  function leaveHistory() {
    const marker = document.querySelector("[data-history-url]");
    if (marker) {
      history.replaceState(null, "", marker.dataset.historyUrl);
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value ?? source.textContent;
    try {
      await navigator.clipboard.writeText(text.trim());
    } catch {
      // Without TLS there is no clipboard: select it, and the reader's own shortcut copies it.
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      announce(button, "Selected");
      return;
    }
    announce(button, "Copied");
  }

  function announce(button, word) {
    const label = button.querySelector("[data-label]");
    label.dataset.before ??= label.textContent;
    label.textContent = word;
    clearTimeout(Number(button.dataset.timer));
    button.dataset.timer = setTimeout(() => { label.textContent = label.dataset.before; }, 2000);
  }

  function remember(name, value) {
    try {
      localStorage.setItem(name, value);
    } catch {
      // A private window forgets it.
    }
  }

  function themeShow() {
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === document.documentElement.dataset.theme));
    }
  }

  // On narrow windows the menu lies over the page until it is closed; on wide ones it is shown or hidden for good.
  function menuOpen(open) {
    document.documentElement.classList.toggle("at-menu-open", open);
    const button = document.querySelector("[data-menu-open]");
    button?.setAttribute("aria-expanded", String(open));
    (open ? document.querySelector("#nav-sidebar [data-menu-close]") : button)?.focus();
  }

  function menuWide(button, toggle) {
    const root = document.documentElement;
    if (toggle) {
      root.dataset.menu = root.dataset.menu === "hidden" ? "shown" : "hidden";
      remember("atlasco-menu", root.dataset.menu);
    }
    button.setAttribute("aria-expanded", String(root.dataset.menu === "shown"));
  }

  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-theme-choice]");
    if (choice) {
      remember("atlasco-theme", choice.dataset.themeChoice);
      dispatchEvent(new Event("atlasco:theme"));
      themeShow();
    }
    if (event.target.closest("[data-menu-open]")) {
      menuOpen(true);
    } else if (event.target.closest("[data-menu-close]")) {
      menuOpen(false);
    }
    const wide = event.target.closest("[data-menu-wide]");
    if (wide) {
      menuWide(wide, true);
    }
    const button = event.target.closest("[data-copy]");
    if (button) {
      copy(button);
    }
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      if (!menu.contains(event.target) || event.target.closest(".at-menu-item")) {
        menu.open = false;
      }
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (document.documentElement.classList.contains("at-menu-open")) {
        menuOpen(false);
      }
      for (const menu of document.querySelectorAll("details[data-menu][open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    // "/" goes to the page's search, as people know it from elsewhere.
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) {
      event.target.form.requestSubmit();
    }
  });

  // A short name follows the name until somebody writes one.
  document.addEventListener("input", (event) => {
    const target = event.target;
    if (target.id === "id_slug") {
      target.dataset.touched = "yes";
    }
    const slug = target.id === "id_name" ? document.getElementById("id_slug") : null;
    if (slug && !slug.dataset.touched && !slug.matches("[aria-invalid]")) {
      slug.value = target.value.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase()
        .replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-+$/, "");
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    leaveHistory();
    themeShow();
    document.querySelectorAll("[data-menu-wide]").forEach((button) => menuWide(button, false));
    localiseTimes(document);
    // On a phone the tab one is on may lie beyond the edge.
    document.querySelector(".at-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    document.body.addEventListener("htmx:afterSettle", () => localiseTimes(document));
    // A part that could not be loaded says so where it would have stood.
    document.body.addEventListener("htmx:responseError", (event) => event.detail.elt.setAttribute("data-failed", ""));
    document.body.addEventListener("htmx:sendError", (event) => event.detail.elt.setAttribute("data-failed", ""));
    document.body.addEventListener("htmx:afterRequest", (event) => {
      if (event.detail.successful) {
        event.detail.elt.removeAttribute("data-failed");
      }
    });
  });
})();
