// The gallery's log, newest first, and the way back to a version.

import { call, Fault } from "./api.js";
import { ask, button, faultBox, h, toast, waiting } from "./dom.js";
import { galleryChanged } from "./gallery.js";
import { counted, when } from "./words.js";

const LIMIT = 30;

/** Go back to a version. With `unless`, only while that version is the newest. */
export async function rollBack(version, { unless = null } = {}) {
  if (unless !== null) {
    const { versions } = await call("GET", "/v1/versions?limit=1");
    if (versions[0].version !== unless) {
      throw new Fault({ what: "the gallery was changed since", todo: "Go back from the history, where every change is listed." });
    }
  }
  const made = await call("POST", "/v1/rollback", { version });
  galleryChanged();
  return made;
}

/** Return the view. */
export function historyView({ gallery }) {
  const lines = h("ol", { class: "log" });
  const state = h("div", {});
  const more = h("div", { class: "actions" });
  let shown = 0;

  async function load({ again = false } = {}) {
    const offset = again ? 0 : shown;
    if (!offset && !lines.children.length) state.replaceChildren(waiting("Loading"));
    try {
      const found = await call("GET", `/v1/versions?offset=${offset}&limit=${LIMIT}`);
      if (again) lines.replaceChildren();
      shown = offset + found.versions.length;
      state.replaceChildren();
      lines.append(...found.versions.map((entry) => line(entry, found)));
      more.replaceChildren(...(shown < found.total ? [button("Show older versions", () => load())] : []));
    } catch (fault) {
      if (!fault.what) throw fault;
      state.replaceChildren(faultBox(fault, () => load({ again })));
    }
  }

  function line(entry, found) {
    const isNewest = entry.version === Math.max(...found.versions.map((one) => one.version)) && shown <= LIMIT;
    return h("li", {},
      h("div", {},
        h("p", {}, h("b", {}, `Version ${entry.version}`), entry.tags.map((one) => h("span", { class: "verdict look" }, one)),
          isNewest ? h("span", { class: "verdict right" }, "served now") : null),
        h("p", {}, told(entry)),
        h("p", { class: "note" }, [when(entry.time), counts(entry)].filter(Boolean).join(" · "))),
      isNewest || gallery.read_only ? null : button("Go back to it", () => back(entry), { "aria-label": `Go back to version ${entry.version}` }));
  }

  async function back(entry) {
    const text = "The gallery becomes what it was then, as a new version; nothing of the history is lost.";
    if (!(await ask(`Go back to version ${entry.version}?`, text, "Go back"))) return;
    try {
      const made = await rollBack(entry.version);
      toast(`Version ${made.entry.version} is as version ${entry.version} was.`);
      await load({ again: true });
    } catch (fault) {
      if (!fault.what) throw fault;
      state.replaceChildren(faultBox(fault));
    }
  }

  load();
  return { title: "History", element: h("div", {}, h("h1", { tabindex: -1 }, "History"),
    h("p", { class: "note" }, "Every change of the gallery is a version, and can be gone back from."), state, lines, more) };
}

const VERBS = {
  add: "Photographs added", build: "Gallery built", describe: "Facts of landmarks and photographs changed",
  merge: "Landmarks merged", penalize: "Penalty made", reembed: "Embedded with another model",
  remove: "Photographs removed", rename: "Landmark renamed", rollback: "Gone back",
};

const HIDDEN = new Set(["bank", "embeddings", "key", "model"]);

function told(entry) {
  const facts = Object.entries(entry.arguments ?? {})
    .filter(([name, value]) => !HIDDEN.has(name) && value !== null && value !== "" && !String(value).includes("file of the server"))
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : value}`);
  return `${VERBS[entry.operation] ?? entry.operation}${facts.length ? ` (${facts.join("; ")})` : ""}`;
}

function counts(entry) {
  if (entry.num_images === null || entry.num_images === undefined) return "";
  const change = entry.images_before === null || entry.images_before === undefined ? 0 : entry.num_images - entry.images_before;
  const signed = change ? ` (${change > 0 ? "+" : "−"}${Math.abs(change)})` : "";
  return `${counted(entry.num_images, "photograph")}${signed} of ${counted(entry.num_landmarks, "landmark")}`;
}
