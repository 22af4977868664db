// A text field with suggestions, by the pattern "editable combobox with list autocomplete" of WAI-ARIA: arrows walk the
// list, Enter or Tab takes, Escape closes, and whatever was typed stays allowed. The list is asked for after a pause.
// Where only what exists makes sense, what was typed is the beginning of it: the best suggestion is marked at once.

const PAUSE_MS = 150;
let made = 0;

// load: text → promise of [{ value, label, detail }]; pick: called with the chosen one, or null after free typing.
export function combobox(input, { label, load, mustExist = false, pick = () => {} }) {
  made += 1;
  const box = document.createElement("span");
  box.className = "at-combo";
  input.replaceWith(box);
  const list = document.createElement("ul");
  list.id = `at-options-${made}`;
  list.className = "at-options";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  const said = document.createElement("span");
  said.className = "at-hidden";
  said.setAttribute("role", "status");
  box.append(input, list, said);
  const attributes = {
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
    autocomplete: "off", autocapitalize: "none", spellcheck: "false",
  };
  for (const [name, value] of Object.entries(attributes)) {
    input.setAttribute(name, value);
  }
  input.removeAttribute("list");

  let options = [];
  let active = -1;
  let timer = 0;
  let asked = 0;

  function close() {
    clearTimeout(timer);
    asked += 1;
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark(index) {
    active = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    if (index < 0) {
      input.removeAttribute("aria-activedescendant");
    } else {
      input.setAttribute("aria-activedescendant", list.children[index].id);
      list.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  function take(index) {
    const option = options[index];
    input.value = option.value;
    close();
    pick(option);
  }

  function best() {
    const typed = input.value.trim();
    return mustExist && typed ? Math.max(0, options.findIndex((option) => option.value === typed)) : -1;
  }

  function show(marked) {
    list.replaceChildren(...options.map((option, index) => {
      const item = document.createElement("li");
      item.id = `${list.id}-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      const word = document.createElement("span");
      word.textContent = option.label ?? option.value;
      item.append(word);
      if (option.detail) {
        const detail = document.createElement("small");
        detail.textContent = option.detail;
        item.append(detail);
      }
      // The field keeps the focus, or the list would close under the pointer.
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => take(index));
      return item;
    }));
    list.hidden = options.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(options.length ? marked : -1);
    said.textContent = options.length === 1 ? "1 suggestion" : `${options.length} suggestions`;
  }

  async function ask(marked = () => -1) {
    asked += 1;
    const turn = asked;
    let found = [];
    try {
      found = await load(input.value.trim());
    } catch {
      // Without suggestions one can still type.
    }
    // An answer that came late is about another text.
    if (turn === asked && document.activeElement === input) {
      options = found;
      show(marked());
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask(best), PAUSE_MS);
    pick(null);
  });
  input.addEventListener("click", () => { if (list.hidden) { ask(); } });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) {
        ask(() => (step > 0 ? 0 : options.length - 1));
      } else {
        // Past either end lies the field itself, unless what it says must be among them.
        const least = mustExist ? 0 : -1;
        const from = active < least && step < 0 ? 0 : active;
        const count = options.length - least;
        mark((from - least + step + count) % count + least);
      }
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      take(active);
    } else if (event.key === "Tab" && !list.hidden && active >= 0) {
      take(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  return box;
}

export async function fetchJson(url, parameters) {
  const answer = await fetch(`${url}?${new URLSearchParams(parameters)}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) {
    throw new Error(`${answer.status}`);
  }
  return answer.json();
}
