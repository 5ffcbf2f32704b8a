// Landmarks of the gallery: search and pages.

import { call } from "./api.js";
import { announce, button, faultBox, h, waiting } from "./dom.js";
import { pictureOf } from "./pictures.js";
import { counted, factsOf, nameOf } from "./words.js";

const LIMIT = 24;
const PAUSE_MS = 200;

/** Return the view; what is searched for and the page stand in its address. */
export function landmarksView({ query, go }) {
  const search = query.get("search") ?? "";
  const offset = Math.max(0, Number(query.get("offset")) || 0);
  const field = h("input", { id: "search", type: "search", value: search, placeholder: "Part of a name", autocomplete: "off", maxlength: 200 });
  const results = h("div", { class: "results" });
  let timer = 0;
  let turn = 0;
  const form = h("form", { class: "search", role: "search" }, h("label", { for: "search" }, "Search landmarks"), field);
  const at = (text, first) => {
    const words = new URLSearchParams();
    if (text) words.set("search", text);
    if (first) words.set("offset", first);
    return `#/landmarks${words.size ? `?${words}` : ""}`;
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); load(field.value.trim(), 0); });
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => load(field.value.trim(), 0), PAUSE_MS);
  });

  async function load(text, first) {
    turn += 1;
    const mine = turn;
    go(at(text, first), { quietly: true });
    if (!results.children.length) results.replaceChildren(waiting("Loading"));
    try {
      const found = await call("GET", `/v1/landmarks?search=${encodeURIComponent(text)}&offset=${first}&limit=${LIMIT}`);
      if (mine !== turn) return;
      results.replaceChildren(...shown(found, text, first));
      announce(`${counted(found.total, "landmark")} found.`);
    } catch (fault) {
      if (!fault.what) throw fault;
      results.replaceChildren(faultBox(fault, () => load(text, first)));
    }
  }

  function shown(found, text, first) {
    if (!found.total) {
      return [h("div", { class: "empty" },
        h("p", {}, text ? `No landmark has “${text}” in its name.` : "The gallery has no landmarks yet."),
        text ? button("Show all", () => { field.value = ""; load("", 0); field.focus(); }) : h("a", { href: "#/folder" }, "Add a folder of photographs"))];
    }
    const last = Math.min(first + LIMIT, found.total);
    const turnTo = (to, words) => h("a", { href: at(text, to), rel: to > first ? "next" : "prev" }, words);
    return [
      h("p", { class: "note" }, found.total > LIMIT ? `${first + 1} to ${last} of ${counted(found.total, "landmark")}` : counted(found.total, "landmark")),
      h("ul", { class: "tileset" }, found.landmarks.map(tile)),
      found.total > LIMIT
        ? h("nav", { class: "pages", "aria-label": "Pages" },
          first > 0 ? turnTo(Math.max(0, first - LIMIT), "← Earlier") : h("span", { "aria-hidden": "true" }, "← Earlier"),
          last < found.total ? turnTo(last, "Later →") : h("span", { "aria-hidden": "true" }, "Later →"))
        : null,
    ].filter(Boolean);
  }

  load(search, offset);
  return {
    title: "Landmarks",
    element: h("div", {}, h("h1", { tabindex: -1 }, "Landmarks"), form, results),
    leave: () => { clearTimeout(timer); turn += 1; },
  };
}

/** Return a landmark as a picture with its name, for lists. */
export function tile(landmark) {
  const cover = h("div", { class: "cover" }, landmark.thumbnail ? pictureOf(`${landmark.thumbnail}?size=320`, "") : null);
  return h("li", {}, h("a", { href: `#/landmarks/${encodeURIComponent(landmark.landmark_id)}` },
    cover, h("span", { class: "tile-name" }, nameOf(landmark)), h("span", { class: "note" }, factsOf(landmark))));
}

