// A field for an attribute's name, with suggestions: <input data-names="URL">.
import { combobox, fetchJson } from "./combobox.js";

for (const field of document.querySelectorAll("input[data-names]")) {
  const hadFocus = document.activeElement === field;
  combobox(field, { label: "Attributes", load: async (part) => {
    const { names } = await fetchJson(field.dataset.names, { part });
    return names.filter((known) => !known.name.startsWith("@"))
      .map((known) => ({ value: known.name, detail: [Object.keys(known.types).join(", "), known.unit, known.description].filter(Boolean).join(" · ") }));
  } });
  if (hadFocus) {
    field.focus();
  }
}
