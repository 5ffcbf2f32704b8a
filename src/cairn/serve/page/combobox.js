// A text field with a list of landmarks that it finds (the ARIA pattern "combobox with listbox").

import { call } from "./api.js";
import { fresh, h } from "./dom.js";
import { counted, nameOf } from "./words.js";

const PAUSE_MS = 150;
const LIMIT = 8;

/**
 * Return a combobox: `element`, `value()` and `invalid(text)`.
 *
 * `first` is what is offered before anything is typed. With `mayCreate` the last choice is a new
 * landmark of the typed name.
 */
export function comboBox({ label, placeholder = "", first = [], mayCreate = true, except = "" }) {
  const id = fresh("combo");
  let options = [];
  let active = -1;
  let chosen = null;
  let asked = 0;
  let timer = 0;
  let isStale = false; // the list is that of a text which is typed over
  let isWanted = false; // its first choice is asked for as soon as it comes
  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": "Landmarks", hidden: true });
  const message = h("p", { id: `${id}-message`, class: "message", role: "status" });
  const field = h("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder, maxlength: 200,
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id, "aria-describedby": message.id,
  });
  const element = h("div", { class: "combo" }, h("label", { for: id }, label), field, list, message);

  function close() {
    list.hidden = true;
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function mark(number) {
    active = number;
    [...list.children].forEach((one, at) => one.setAttribute("aria-selected", String(at === active)));
    if (active < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", list.children[active].id);
      list.children[active].scrollIntoView({ block: "nearest" });
    }
  }

  function choose(option) {
    chosen = option;
    field.value = nameOf(option);
    field.removeAttribute("aria-invalid");
    message.textContent = option.isNew ? "A new landmark." : "";
    close();
  }

  function show(found) {
    options = found;
    list.replaceChildren(...options.map((option, at) => h("li", {
      id: `${id}-${at}`, role: "option", "aria-selected": "false",
      on: { pointerdown: (event) => event.preventDefault(), click: () => choose(option) },
    }, h("span", { class: "option-name" }, option.isNew ? `New landmark “${option.name}”` : nameOf(option)),
    h("small", {}, option.note ?? (option.isNew ? "" : counted(option.num_images, "photo"))))));
    list.hidden = !options.length;
    field.setAttribute("aria-expanded", String(!!options.length));
    mark(isWanted && options.length ? 0 : -1);
    isStale = isWanted = false;
    const text = field.value.trim();
    if (text && !chosen) message.textContent = options.length ? `${counted(options.length, "choice")}.` : "Nothing found.";
  }

  async function find() {
    const text = field.value.trim();
    asked += 1;
    const turn = asked;
    if (!text) { show(first); return; }
    try {
      const found = await call("GET", `/v1/landmarks?search=${encodeURIComponent(text)}&limit=${LIMIT}`);
      if (turn !== asked || document.activeElement !== field) return;
      const fitting = found.landmarks.filter((one) => one.landmark_id !== except);
      const lower = text.toLowerCase();
      const isThere = fitting.some((one) => [one.landmark_id, one.name ?? ""].some((name) => name.toLowerCase() === lower));
      show([...fitting, ...(mayCreate && !isThere ? [{ landmark_id: text, name: text, isNew: true }] : [])]);
    } catch (fault) {
      if (!fault.what) throw fault;
      close();
      message.textContent = `${fault.what}. ${fault.todo}`;
    }
  }

  field.addEventListener("input", () => {
    chosen = null;
    isStale = true;
    isWanted = false;
    mark(-1);
    message.textContent = "";
    field.removeAttribute("aria-invalid");
    clearTimeout(timer);
    timer = setTimeout(find, PAUSE_MS);
  });
  field.addEventListener("focus", () => { if (!chosen) find(); });
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    const open = !list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (isStale || !options.length) {
        isWanted = true;
        clearTimeout(timer);
        find();
        return;
      }
      list.hidden = false;
      field.setAttribute("aria-expanded", "true");
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((active + step + options.length + (active < 0 && step < 0 ? 1 : 0)) % options.length);
    } else if (event.key === "Enter" && isWanted) {
      event.preventDefault(); // what comes is not known yet
    } else if (event.key === "Enter" && open && active >= 0) {
      event.preventDefault();
      choose(options[active]);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });

  return {
    element,
    value() {
      const text = field.value.trim().toLowerCase();
      return chosen ?? options.find((one) => !one.isNew && text && [one.landmark_id, one.name ?? ""].some((name) => name.toLowerCase() === text)) ?? null;
    },
    invalid(text) {
      field.setAttribute("aria-invalid", "true");
      message.textContent = text;
      field.focus();
    },
  };
}
