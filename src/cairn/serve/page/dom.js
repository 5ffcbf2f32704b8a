// Elements, and what the whole page says: announcements, toasts, questions, faults.

/** Return an element. `props`: attributes, `on` listeners, `vars` custom properties of its style. */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    } else if (name === "vars") {
      for (const [key, text] of Object.entries(value)) made.style.setProperty(key, text);
    } else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

/** Return a button that does something. */
export function button(text, onClick, props = {}) {
  return h("button", { type: "button", ...props, on: { click: onClick } }, text);
}

let count = 0;

/** Return an id that no other element has. */
export function fresh(stem) {
  count += 1;
  return `${stem}-${count}`;
}

/** Let screen readers say a text. */
export function announce(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}

/** Show a text for a while, with something to do about it. It stays while it is looked at. */
export function toast(text, { action = "", onAction = null, seconds = 12 } = {}) {
  const close = () => shown.remove();
  const shown = h("div", { class: "toast" }, h("p", {}, text));
  if (action) {
    shown.append(button(action, async (event) => {
      event.currentTarget.disabled = true;
      close();
      await onAction();
    }, { class: "quiet" }));
  }
  shown.append(button("×", close, { class: "close", "aria-label": "Dismiss" }));
  document.getElementById("toasts").append(shown);
  announce(action ? `${text} ${action} is possible.` : text);
  const leave = () => {
    if (shown.matches(":hover, :focus-within")) setTimeout(leave, 2000);
    else close();
  };
  setTimeout(leave, seconds * 1000);
  return shown;
}

/** Open a dialog; return it. It leaves the document when it is closed, focus goes back by itself. */
export function openDialog(title, ...content) {
  const id = fresh("dialog");
  const made = h("dialog", { "aria-labelledby": id },
    h("div", { class: "dialog-head" },
      h("h2", { id }, title),
      button("×", () => made.close(), { class: "close", "aria-label": "Close" })),
    ...content);
  made.addEventListener("close", () => made.remove());
  made.addEventListener("click", (event) => { if (event.target === made) made.close(); });
  document.body.append(made);
  made.showModal();
  made.querySelector("input:is([type=text], [type=password])")?.focus();
  return made;
}

/** Ask whether to do something; return whether. */
export function ask(title, text, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const cancel = button("Cancel", () => made.close());
    const made = openDialog(title, h("p", {}, text), h("div", { class: "actions" },
      button(yes, () => { answer = true; made.close(); }, { class: "primary" }), cancel));
    cancel.focus();
    made.addEventListener("close", () => resolve(answer));
  });
}

/** Return a fault in words, with what to do next. */
export function faultBox(fault, again = null) {
  const what = fault.what[0].toUpperCase() + fault.what.slice(1);
  return h("div", { class: "fault", role: "alert" },
    h("p", {}, h("b", {}, what), fault.where ? ` (${fault.where})` : "", "."),
    fault.todo ? h("p", {}, fault.todo) : null,
    again ? button("Try again", again) : null);
}

/** Return a line that says that something is being worked on. */
export function waiting(text) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/** Return a progress bar with words, and what changes them: `set(share or null, text)`. */
export function progressBar(label) {
  const id = fresh("progress");
  const words = h("p", { id }, label);
  const bar = h("progress", { max: 1, "aria-labelledby": id });
  const set = (share, text) => {
    if (share === null || share === undefined) bar.removeAttribute("value");
    else bar.value = share;
    if (words.textContent !== text) words.textContent = text;
  };
  return { element: h("div", { class: "progress" }, words, bar), set };
}
