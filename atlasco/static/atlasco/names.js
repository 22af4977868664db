// Fields for attributes' names, with suggestions: <input data-names="URL">; the type of the value follows the attribute.
// With data-known, a name that nobody has is no use.
// In a form of several rows, one more row: <button data-add-row> and <template id="bulk-row">.
import { combobox, fetchJson } from "./combobox.js";

function equip(field) {
  const hadFocus = document.activeElement === field;
  combobox(field, {
    label: "Attributes",
    mustExist: "known" in field.dataset,
    load: async (part) => {
      const { names } = await fetchJson(field.dataset.names, { part });
      return names.filter((known) => !known.name.startsWith("@")).map((known) => ({
        value: known.name, types: known.types, detail: known.hint,
      }));
    },
    pick: (option) => {
      const type = (field.closest("[data-edit-row]") ?? field.form).querySelector("[data-edit-type]");
      const main = option && Object.keys(option.types).sort((one, other) => option.types[other] - option.types[one])[0];
      if (main && type && type.value !== main) {
        type.value = main;
        type.dispatchEvent(new Event("change", { bubbles: true }));
      }
    },
  });
  if (hadFocus) {
    field.focus();
  }
}

document.querySelectorAll("input[data-names]").forEach(equip);

const more = document.querySelector("[data-add-row]");
if (more) {
  more.hidden = false;
  more.addEventListener("click", () => {
    const rows = document.querySelector("[data-rows]");
    rows.append(document.getElementById("bulk-row").content.cloneNode(true));
    const field = rows.lastElementChild.querySelector("input[data-names]");
    equip(field);
    field.focus();
  });
}
