// Forms of one value: the field of the type that is chosen; the keyboard's way in and out.
(() => {
  "use strict";

  const fieldOf = (place, type) => place.querySelector(`[data-type="${type}"] :is(input, textarea, select)`);

  document.addEventListener("change", (event) => {
    const action = event.target.closest("[data-edit-action]");
    if (action) {
      for (const part of action.closest("[data-edit-row]").querySelectorAll("[data-if-set]")) {
        part.hidden = action.value !== "set";
      }
    }
    const choice = event.target.closest("[data-edit-type]");
    if (!choice) {
      return;
    }
    const place = choice.closest("[data-edit-row]") ?? choice.form;
    const before = place.querySelector("[data-type]:not([hidden]) :is(input, textarea, select)");
    for (const part of place.querySelectorAll("[data-type]")) {
      part.hidden = part.dataset.type !== choice.value;
    }
    const now = fieldOf(place, choice.value);
    // What was typed comes along, where the new type may understand it.
    if (before && now.tagName !== "SELECT" && now.value === "") {
      now.value = before.value;
    }
  });

  // A row that has become a form is ready to type in; one that is done gives the focus back to its button.
  // After settling: only then does htmx know the new form.
  document.addEventListener("htmx:afterSettle", () => {
    const form = document.querySelector("tr.at-edit-row form[data-edit]:not([data-ready])");
    if (form) {
      form.dataset.ready = "yes";
      const field = form.querySelector("[data-type]:not([hidden]) :is(input, textarea, select)");
      field?.focus();
      field?.select?.();
    }
  });

  let left = "";
  document.addEventListener("htmx:beforeSwap", (event) => {
    left = event.detail.target?.querySelector?.("form[data-edit] [name=name]")?.value ?? "";
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (left && !document.querySelector("tr.at-edit-row")) {
      document.querySelector(`a[aria-label="${CSS.escape(`Edit ${left}`)}"]`)?.focus();
      left = "";
    }
  });

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest?.("tr form[data-edit]");
    if (!form) {
      return;
    }
    if (event.key === "Escape") {
      form.querySelector("[data-cancel]")?.click();
    } else if (event.key === "Enter" && event.target.tagName === "TEXTAREA" && !event.shiftKey && event.target.rows === 1) {
      // A short text is saved by Enter, as any field; Shift and Enter breaks the line.
      event.preventDefault();
      form.requestSubmit();
    }
  });
})();
