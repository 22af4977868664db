// The entity browser's filter builder and its chooser of columns. The address holds the whole state: the builder writes
// the conditions as JSON into a field of the form, which is there, and can be edited by hand, without any script.
import { combobox, fetchJson } from "./combobox.js";

const form = document.getElementById("browse");
const data = JSON.parse(document.getElementById("builder-data").textContent);
const where = form.elements.where;
const place = form.querySelector("[data-builder]");
const raw = form.querySelector("[data-raw]");
const DEPTH_MAX = 6;

const MATCHES = { all: "all of", any: "any of", at_least: "at least", none: "none of" };
const TYPE_WORDS = data.type_words;
const WORDS = {
  eq: "is", ne: "is not", in: "is one of", gt: "is more than", ge: "is at least", lt: "is less than", le: "is at most",
  contains: "contains", prefix: "starts with", empty: "is empty text", exists: "is present", missing: "is missing",
  is_type: "is of type",
};
const TIME_WORDS = { gt: "is after", ge: "is at or after", lt: "is before", le: "is at or before" };
const OF_TYPE = {
  string: ["contains", "prefix", "empty"], number: ["gt", "ge", "lt", "le"], timestamp: ["gt", "ge", "lt", "le"], boolean: [],
};
const OWN_TITLES = { "@entity_type": "Type", "@updated_at": "Changed", "@created_at": "Created", "@entity_id": "Entity id" };
const NO_VALUE = new Set(["exists", "missing", "empty"]);
const TEXTUAL = new Set(["contains", "prefix"]);
const ORDERED = new Set(["gt", "ge", "lt", "le"]);
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}([.,]\d+)?(Z|[+-]\d{2}(:?\d{2})?)$/;
const DAY = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2}))?)?$/;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") {
      made.textContent = value;
    } else if (name.startsWith("on")) {
      made.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.filter(Boolean));
  return made;
}

function icon(name) {
  return element("span", { class: "material-symbols-outlined", "aria-hidden": "true", text: name });
}

function select(label, choices, value, change) {
  const made = element("select", { "aria-label": label, onchange: (event) => change(event.target.value) });
  for (const [key, words] of choices) {
    made.append(element("option", { value: key, selected: key === value, text: words }));
  }
  return made;
}

// --- The tree ---------------------------------------------------------------------------------------------------------
// The server names operators as the API does.
const inWords = (node) => node.errors.join(" ").replace(`\`${node.operator}\``, `“${WORDS[node.operator]}”`);

const condition = () => ({ name: "", operator: "eq", values: [], errors: [] });
const group = (match, nodes) => ({ match, n: 2, nodes, errors: [] });
const isGroup = (node) => Array.isArray(node.nodes);

function prepare(node) {
  if (isGroup(node)) {
    node.nodes.forEach(prepare);
  } else if (node.operator === "eq" && node.values.length === 1 && node.values[0].text === "" && node.values[0].type === "string") {
    node.operator = "empty";
    node.values = [];
  }
  return node;
}

let root = data.tree ? prepare(data.tree) : null;

const typesOf = (name) => Object.keys(data.known[name]?.types ?? {});

// The type that most of an attribute's values have.
function mainType(name) {
  const types = data.known[name]?.types ?? {};
  return Object.keys(types).sort((one, other) => types[other] - types[one])[0] ?? null;
}

function typesAllowed(node) {
  if (TEXTUAL.has(node.operator)) {
    return ["string"];
  }
  if (ORDERED.has(node.operator)) {
    const ordered = typesOf(node.name).filter((type) => type === "number" || type === "timestamp");
    return ordered.length ? ordered : ["number", "timestamp"];
  }
  const known = typesOf(node.name);
  return known.length ? known : Object.keys(TYPE_WORDS);
}

function typeOf(node) {
  const allowed = typesAllowed(node);
  const wanted = node.valueType ?? node.values[0]?.type ?? mainType(node.name);
  return wanted && (allowed.includes(wanted) || node.values.length) ? wanted : allowed[0];
}

function operatorsFor(node) {
  const known = typesOf(node.name);
  const types = known.length ? known : Object.keys(TYPE_WORDS);
  const fitting = new Set(["eq", "ne", "in", ...types.flatMap((type) => OF_TYPE[type] ?? []), "exists", "missing", "is_type"]);
  fitting.add(node.operator);
  const words = types.includes("timestamp") && !types.includes("number") ? { ...WORDS, ...TIME_WORDS } : WORDS;
  return Object.keys(WORDS).filter((name) => fitting.has(name)).map((name) => [name, words[name]]);
}

// --- As JSON ----------------------------------------------------------------------------------------------------------
// Written as text by hand: a number goes out with the digits that came in.
function valueJson(value) {
  return value.type === "number" || value.type === "boolean" ? value.text : JSON.stringify(value.text);
}

function json(node) {
  if (isGroup(node)) {
    const list = `[${node.nodes.map(json).filter(Boolean).join(",")}]`;
    if (list === "[]") {
      return "";
    }
    return { all: `{"all":${list}}`, any: `{"any":${list}}`, at_least: `{"at_least":${node.n},"of":${list}}`,
      none: `{"not":{"any":${list}}}` }[node.match];
  }
  if (!node.name) {
    return "";
  }
  const name = JSON.stringify(node.name);
  if (node.operator === "empty") {
    return `[${name},"eq",""]`;
  }
  if (NO_VALUE.has(node.operator)) {
    return `[${name},"${node.operator}"]`;
  }
  const values = node.values.map(valueJson);
  return `[${name},"${node.operator}",${node.operator === "in" ? `[${values.join(",")}]` : values[0] ?? '""'}]`;
}

function rootJson() {
  const nodes = root.nodes.map(json).filter(Boolean);
  if (!nodes.length) {
    return "";
  }
  return root.match === "all" ? `[${nodes.join(",")}]` : json(root);
}

// What is wrong with a value as it stands, in words; its text is put right where the meaning is clear.
function valueFault(value) {
  value.text = value.type === "string" ? value.text : value.text.trim();
  if (value.type === "number" && !NUMBER.test(value.text)) {
    return value.text ? `“${value.text}” is not a number. Write it like 1250 or -0.5.` : "Give a number.";
  }
  if (value.type === "timestamp" && !INSTANT.test(value.text)) {
    const day = DAY.exec(value.text);
    if (!day) {
      return value.text ? `“${value.text}” is not a time. Write it like 2026-01-31 or 2026-01-31T12:00:00Z.` : "Give a time.";
    }
    value.text = `${day[1]}T${day[2] ?? "00:00"}:${day[3] ?? "00"}Z`;
  }
  if (value.type === "string" && value.text === "") {
    return "Give a value. To find text that is empty, choose “is empty text”.";
  }
  return "";
}

function check(node) {
  if (isGroup(node)) {
    const filled = node.nodes.filter((child) => isGroup(child) || child.name).length;
    node.errors = node.match === "at_least" && filled && (node.n < 0 || node.n > filled)
      ? [`At least ${node.n} of ${filled} can never hold.`] : [];
    return node.nodes.map(check).every(Boolean) && !node.errors.length;
  }
  node.errors = [];
  if (!node.name) {
    if (node.values.some((value) => value.text)) {
      node.errors.push("Choose an attribute.");
    }
  } else if (!NO_VALUE.has(node.operator)) {
    node.take?.();
    const faults = node.values.map(valueFault).filter(Boolean);
    if (!node.values.length) {
      faults.push(node.operator === "in" ? "Add at least one value." : "Give a value.");
    }
    node.errors = faults.slice(0, 1);
  }
  return !node.errors.length;
}

// --- Drawing ----------------------------------------------------------------------------------------------------------
function draw(focus) {
  place.replaceChildren(groupElement(root, null, 1));
  focus?.();
}

function groupElement(node, parent, depth) {
  const isRoot = parent === null;
  const box = element("div", { class: isRoot ? "at-group at-group-root" : "at-group", role: "group", "aria-label": isRoot ? "Conditions" : "Group of conditions" });
  if (!isRoot || node.nodes.length > 1 || node.match !== "all") {
    const head = element("div", { class: "at-group-head" }, element("span", { text: isRoot ? "Match" : "" }));
    head.append(select("How the conditions combine", Object.entries(MATCHES), node.match, (match) => {
      node.match = match;
      draw(() => node.matchElement.focus());
    }));
    node.matchElement = head.querySelector("select");
    if (node.match === "at_least") {
      head.append(element("input", {
        type: "number", min: "0", max: String(Math.max(node.nodes.length, 1)), value: String(node.n), class: "at-group-n",
        "aria-label": "How many must hold", oninput: (event) => { node.n = Math.max(0, Math.trunc(Number(event.target.value) || 0)); },
      }), element("span", { text: "of" }));
    }
    head.append(element("span", { text: "these conditions" }));
    if (!isRoot) {
      head.append(element("button", {
        type: "button", class: "at-icon-button at-cond-remove", "aria-label": "Remove this group", title: "Remove this group",
        onclick: () => { parent.nodes.splice(parent.nodes.indexOf(node), 1); draw(focusAdd); },
      }, icon("close")));
    }
    box.append(head);
  }
  for (const child of node.nodes) {
    box.append(isGroup(child) ? groupElement(child, node, depth + 1) : conditionElement(child, node));
  }
  for (const error of node.errors) {
    box.append(element("p", { class: "at-cond-error", role: "alert", text: error }));
  }
  box.append(element("div", { class: "at-group-add" },
    element("button", { type: "button", class: "at-button at-button-small", "data-add": true, onclick: () => {
      const added = condition();
      node.nodes.push(added);
      draw(() => added.nameElement.focus());
    } }, icon("add"), "Condition"),
    depth < DEPTH_MAX && element("button", { type: "button", class: "at-button at-button-small at-button-quiet", onclick: () => {
      const added = condition();
      node.nodes.push(group(node.match === "any" ? "all" : "any", [added]));
      draw(() => added.nameElement.focus());
    } }, icon("add"), "Group")));
  return box;
}

function focusAdd() {
  place.querySelector("[data-add]")?.focus();
}

function conditionElement(node, parent) {
  const errorId = `at-fault-${Math.random().toString(36).slice(2)}`;
  const box = element("div", { class: "at-cond", role: "group", "aria-label": node.name ? `Condition on ${node.name}` : "New condition" });
  const name = element("input", { type: "text", value: node.name, placeholder: "Attribute", "aria-label": "Attribute", maxlength: "255", class: "at-cond-name", size: "1" });
  node.nameElement = name;
  box.append(name);
  combobox(name, {
    label: "Attributes",
    mustExist: true,
    load: loadNames(""),
    pick: (option) => {
      node.name = name.value.trim();
      if (option) {
        data.known[option.value] = option.known;
        const types = typesAllowed(node);
        if (!operatorsFor({ ...node, operator: "eq" }).some(([operator]) => operator === node.operator)) {
          node.operator = "eq";
        }
        if (node.values.length && !types.includes(node.values[0].type)) {
          node.values = [];
        }
        node.valueType = undefined;
        draw(() => (node.valueElement ?? node.operatorElement).focus());
      }
    },
  });
  // What was typed and not chosen is a name, too; what is known of it decides which operators fit.
  name.addEventListener("change", async () => {
    node.name = name.value.trim();
    if (node.name && !(node.name in data.known)) {
      const found = await fetchJson(data.names_url, { part: node.name }).catch(() => ({ names: [] }));
      const hint = found.names.find((known) => known.name === node.name);
      if (hint) {
        data.known[node.name] = hint;
      }
    }
    // The focus has moved on inside this condition; it must not be lost with what is drawn anew. A field that draw() is
    // just taking away tells its change, too: by then another one stands for this condition.
    if (box.isConnected && node.nameElement === name) {
      refreshOperator();
      refreshValue();
    }
  });
  const operatorPlace = element("span", { class: "at-cond-operator" });
  const valuePlace = element("span", { class: "at-cond-value" });

  function refreshOperator() {
    if (operatorPlace.contains(document.activeElement)) {
      return;
    }
    node.operatorElement = select("Operator", operatorsFor(node), node.operator, (operator) => {
      node.take?.();
      const wasMany = node.operator === "in";
      node.operator = operator;
      node.values = node.values.filter((value) => value.text !== "");
      if (wasMany && operator !== "in") {
        node.values = node.values.slice(0, 1);
      }
      const type = typesAllowed(node);
      node.values = NO_VALUE.has(operator) || operator === "is_type" ? [] : node.values.filter((value) => type.includes(value.type) || operator === "eq" || operator === "ne" || operator === "in");
      draw(() => node.operatorElement.focus());
    });
    operatorPlace.replaceChildren(node.operatorElement);
  }

  function refreshValue() {
    if (!valuePlace.contains(document.activeElement)) {
      valuePlace.replaceChildren(...valueElements(node, errorId));
    }
  }

  refreshOperator();
  refreshValue();
  box.append(operatorPlace, valuePlace, element("button", {
    type: "button", class: "at-icon-button at-cond-remove", "aria-label": node.name ? `Remove the condition on ${node.name}` : "Remove this condition",
    title: "Remove", onclick: () => { parent.nodes.splice(parent.nodes.indexOf(node), 1); draw(focusAdd); },
  }, icon("close")));
  if (node.errors.length) {
    box.classList.add("at-cond-bad");
    box.append(element("p", { class: "at-cond-error", id: errorId, role: "alert", text: inWords(node) }));
  }
  return box;
}

function valueElements(node, errorId) {
  node.take = undefined;
  node.valueElement = undefined;
  if (NO_VALUE.has(node.operator)) {
    return [];
  }
  if (node.operator === "is_type") {
    const current = node.values[0]?.text ?? "string";
    node.values = [{ type: "string", text: current }];
    node.valueElement = select("Type", Object.entries(TYPE_WORDS), current, (type) => { node.values = [{ type: "string", text: type }]; });
    return [node.valueElement];
  }
  const type = typeOf(node);
  const allowed = [...new Set([...typesAllowed(node), type])];
  const made = [];
  if (allowed.length > 1) {
    made.push(select("Type of the value", allowed.map((name) => [name, TYPE_WORDS[name]]), type, (chosen) => {
      node.take?.();
      node.valueType = chosen;
      if (node.operator !== "in") {
        node.values = node.values.slice(0, 1).map((value) => ({ type: chosen, text: chosen === "boolean" ? "true" : value.text }));
      }
      draw(() => node.valueElement.focus());
    }));
    made[0].classList.add("at-cond-type");
  }
  if (node.operator === "in") {
    made.push(manyElement(node, type, errorId));
  } else if (type === "boolean") {
    const current = node.values[0]?.text === "false" ? "false" : "true";
    node.values = [{ type: "boolean", text: current }];
    node.valueElement = select("Value", [["true", "true"], ["false", "false"]], current, (text) => { node.values = [{ type: "boolean", text }]; });
    made.push(node.valueElement);
  } else {
    const input = valueInput(node, type, errorId);
    input.value = node.values[0]?.text ?? "";
    node.valueElement = input;
    const keep = () => { node.values = [{ type: node.valueType ?? type, text: input.value }]; };
    node.take = keep;
    const box = element("span", { class: "at-cond-input" }, input);
    combobox(input, { label: "Values", load: loadValues(node, () => type), pick: (option) => {
      if (option) {
        node.valueType = option.type;
        node.values = [{ type: option.type, text: option.value }];
        if (option.type !== type) {
          draw(() => node.valueElement.focus());
        }
      } else {
        keep();
      }
    } });
    made.push(box);
  }
  return made;
}

function valueInput(node, type, errorId) {
  const placeholder = { string: "Value", number: "Number", timestamp: "2026-01-31T12:00:00Z", boolean: "true" }[type];
  return element("input", {
    type: "text", "aria-label": "Value", placeholder, inputmode: type === "number" ? "decimal" : null, size: "1",
    "aria-invalid": node.errors.length ? "true" : null, "aria-describedby": node.errors.length ? errorId : null,
  });
}

function manyElement(node, type, errorId) {
  const box = element("span", { class: "at-chips" });
  const input = valueInput(node, type, errorId);
  node.valueElement = input;
  const add = (value) => {
    if (value.text !== "" && !node.values.some((known) => known.type === value.type && known.text === value.text)) {
      node.values.push(value);
    }
    draw(() => node.valueElement.focus());
  };
  node.take = () => {
    const text = input.value;
    input.value = "";
    if (text.trim() !== "") {
      node.values.push({ type, text: type === "string" ? text : text.trim() });
    }
  };
  node.values.forEach((value, index) => box.append(element("span", { class: "at-chip" }, value.text, element("button", {
    type: "button", "aria-label": `Remove ${value.text}`, onclick: () => { node.take(); node.values.splice(index, 1); draw(() => node.valueElement.focus()); },
  }, icon("close")))));
  input.placeholder = node.values.length ? "One more" : "Value, then Enter";
  box.append(input);
  combobox(input, { label: "Values", load: loadValues(node, () => type), pick: (option) => {
    if (option) {
      input.value = "";
      add({ type: option.type, text: option.value });
    }
  } });
  input.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) {
      return;
    }
    if (event.key === "Enter" && input.value.trim() !== "") {
      event.preventDefault();
      const text = input.value;
      input.value = "";
      add({ type, text });
    } else if (event.key === "Backspace" && input.value === "" && node.values.length) {
      node.values.pop();
      draw(() => node.valueElement.focus());
    }
  });
  return box;
}

// --- Suggestions ------------------------------------------------------------------------------------------------------
function loadNames(purpose) {
  return async (part) => {
    const { names } = await fetchJson(data.names_url, purpose ? { part, for: purpose } : { part });
    return names.map((known) => ({ value: known.name, known, detail: known.hint }));
  };
}

function loadValues(node, type) {
  return async (part) => {
    if (!node.name) {
      return [];
    }
    const { values } = await fetchJson(data.values_url, { name: node.name, part });
    const kinds = TEXTUAL.has(node.operator) || ORDERED.has(node.operator) ? [type()] : typesAllowed(node);
    return values.filter((value) => kinds.includes(value.type) && value.text !== "").map((value) => ({
      value: value.text, type: value.type, detail: kinds.length > 1 ? TYPE_WORDS[value.type] : "",
    }));
  };
}

// --- Selected rows ----------------------------------------------------------------------------------------------------
const bulk = document.querySelector("[data-bulk]");
if (bulk) {
  const all = document.querySelector("[data-check-all]");
  const boxes = [...document.querySelectorAll(".at-results tbody .at-check input")];
  const label = bulk.querySelector("[data-bulk-label]");
  const count = () => {
    const checked = boxes.filter((box) => box.checked).length;
    all.checked = checked === boxes.length;
    all.indeterminate = checked > 0 && checked < boxes.length;
    bulk.disabled = checked === 0;
    label.textContent = checked ? `Edit ${checked} selected` : "Edit selected";
  };
  all.hidden = false;
  all.addEventListener("change", () => { boxes.forEach((box) => { box.checked = all.checked; }); count(); });
  boxes.forEach((box) => box.addEventListener("change", count));
  window.addEventListener("pageshow", count);
  count();
}

// --- The form ---------------------------------------------------------------------------------------------------------
const toggle = form.querySelector("[data-raw-toggle]");

function showRaw(shown) {
  raw.hidden = !shown;
  place.hidden = shown;
  toggle.textContent = shown ? "Edit as list" : "Edit as JSON";
}

toggle.hidden = false;
toggle.addEventListener("click", () => {
  if (raw.hidden) {
    check(root);
    where.value = rootJson();
    showRaw(true);
    where.focus();
  } else {
    // Only the server reads JSON into a list: it knows every form, and says what is wrong.
    form.requestSubmit();
  }
});

if (root) {
  showRaw(false);
  draw();
} else {
  showRaw(true);
}

const type = form.elements.type;
combobox(type, { label: "Types", mustExist: true, load: async (part) => {
  const { values } = await fetchJson(data.values_url, { name: "@entity_type", part });
  return values.map((value) => ({ value: value.text }));
}, pick: (option) => { if (option) { form.requestSubmit(); } } });

// --- Columns ----------------------------------------------------------------------------------------------------------
const columns = document.querySelector("[data-columns]");
if (columns) {
  const list = columns.querySelector("ol");
  const field = columns.querySelector("input[type=text]");
  const touched = () => { columns.dataset.touched = "yes"; };

  const move = (item, step) => {
    const other = step < 0 ? item.previousElementSibling : item.nextElementSibling;
    if (other) {
      list.insertBefore(step < 0 ? item : other, step < 0 ? other : item);
      touched();
    }
  };
  const equip = (item) => {
    const title = item.querySelector("span").textContent;
    for (const [words, name, step] of [["up", "arrow_upward", -1], ["down", "arrow_downward", 1]]) {
      item.append(element("button", { type: "button", class: "at-icon-button", "aria-label": `Move ${title} ${words}`, title: `Move ${words}`, onclick: (event) => {
        move(item, step);
        event.currentTarget.focus();
      } }, icon(name)));
    }
  };
  list.querySelectorAll("li").forEach(equip);
  list.addEventListener("change", touched);
  const add = (name) => {
    const known = [...list.querySelectorAll("input")].find((box) => box.value === name);
    if (known) {
      known.checked = true;
    } else if (name) {
      const title = OWN_TITLES[name] ?? name;
      const item = element("li", {}, element("label", {}, element("input", { type: "checkbox", name: "column", value: name, form: "browse", checked: true }), element("span", { text: title })));
      list.append(item);
      equip(item);
    }
    field.value = "";
    touched();
  };
  combobox(field, { label: "Attributes", mustExist: true, load: loadNames("columns"), pick: (option) => { if (option) { add(option.value); } } });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.defaultPrevented) {
      event.preventDefault();
      if (field.value.trim()) {
        add(field.value.trim());
      } else {
        form.requestSubmit();
      }
    }
  });
}

form.addEventListener("submit", (event) => {
  if (raw.hidden) {
    if (!check(root)) {
      event.preventDefault();
      draw(() => place.querySelector(".at-cond-bad input")?.focus());
      return;
    }
    where.value = rootJson();
  }
  // Nothing empty in the address; and columns that nobody chose are chosen anew for another question.
  const chosen = columns && (columns.dataset.touched || !columns.dataset.auto);
  for (const input of form.elements) {
    const isEmpty = input.name && input.value === "" && input.type !== "checkbox";
    const isDefault = input.name === "sort" && input.value === input.dataset.default;
    if (isEmpty || isDefault || (input.name === "column" && !chosen)) {
      input.disabled = true;
    }
  }
});
// Coming back to the page by the browser's history finds it usable.
window.addEventListener("pageshow", () => { for (const input of form.elements) { input.disabled = false; } });
