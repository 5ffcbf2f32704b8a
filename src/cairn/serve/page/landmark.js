// One landmark: its photographs with author and licence, and what can be changed.

import { call } from "./api.js";
import { comboBox } from "./combobox.js";
import { ask, button, faultBox, h, openDialog, toast, waiting } from "./dom.js";
import { addPhotos, addedWords, takeBack } from "./correct.js";
import { galleryChanged } from "./gallery.js";
import { rollBack } from "./history.js";
import { fit, pictureOf } from "./pictures.js";
import { counted, creditOf, factsOf, nameOf, outside, placeOf } from "./words.js";

const LIMIT = 60;

/** Return the view of a landmark. */
export function landmarkView({ path, gallery, go }) {
  const id = decodeURIComponent(path[1]);
  const address = `/v1/landmarks/${encodeURIComponent(id)}`;
  const title = h("h1", { tabindex: -1 }, id);
  const facts = h("p", { class: "facts" });
  const tools = h("div", { class: "actions" });
  const state = h("div", {});
  const photos = h("ul", { class: "photos" });
  const more = h("div", { class: "actions" });
  let landmark = null;
  let shown = 0;

  async function load({ again = false } = {}) {
    if (again) { shown = 0; photos.replaceChildren(); }
    if (!shown) state.replaceChildren(waiting("Loading"));
    try {
      landmark = await call("GET", `${address}?offset=${shown}&limit=${LIMIT}`);
    } catch (fault) {
      if (!fault.what) throw fault;
      state.replaceChildren(faultBox(fault, () => load({ again })));
      if (fault.status === 404) tools.replaceChildren();
      return;
    }
    state.replaceChildren();
    shown += landmark.images.length;
    tell();
    photos.append(...landmark.images.map(item));
    more.replaceChildren(...(shown < landmark.num_images
      ? [button(`Show ${Math.min(LIMIT, landmark.num_images - shown)} more`, () => load())] : []));
  }

  function tell() {
    title.textContent = nameOf(landmark);
    document.title = `${nameOf(landmark)} · Cairn`;
    facts.replaceChildren(...spaced([
      factsOf(landmark), placeOf(landmark), landmark.url ? outside(landmark.url, "About it") : null,
      landmark.name && landmark.name !== id ? h("span", { class: "mark" }, id) : null,
    ]));
    if (gallery.read_only || tools.children.length) return;
    const field = h("input", { type: "file", accept: "image/*", multiple: true, class: "unseen", on: {
      change: () => { add([...field.files]); field.value = ""; },
    } });
    tools.append(h("label", { class: "button primary" }, field, "Add photographs"),
      button("Rename", rename), button("Merge into …", merge), button("Remove", removeAll, { class: "danger" }));
  }

  /** Make a change; say what it did, with an undo that goes back to the version before. */
  async function change(work, words, { after = () => load({ again: true }) } = {}) {
    try {
      const made = await work();
      galleryChanged();
      await after();
      toast(words, { action: "Undo", onAction: async () => {
        try {
          await rollBack(made.entry.version - 1, { unless: made.entry.version });
          toast("Taken back.");
          if (location.hash === here) load({ again: true });
          else go(here);
        } catch (fault) {
          if (!fault.what) throw fault;
          toast(`${fault.what}. ${fault.todo}`);
        }
      } });
      return true;
    } catch (fault) {
      if (!fault.what) throw fault;
      state.replaceChildren(faultBox(fault));
      return false;
    }
  }
  const here = location.hash;

  async function add(files) {
    if (!files.length) return;
    state.replaceChildren(waiting(`Adding ${counted(files.length, "photograph")}`));
    const faults = [];
    let added = 0;
    for (const file of files) {
      try {
        const fitted = await fit(file, gallery.max_body_bytes - 4096);
        const made = await addPhotos({ landmark_id: id }, [fitted.file]);
        added += made.num_added;
        if (files.length === 1 && made.num_added) {
          toast(addedWords(1, nameOf(landmark)), { action: "Undo", onAction: async () => { await takeBack(made); load({ again: true }); } });
        }
      } catch (fault) {
        if (!fault.what) throw fault;
        faults.push(faultBox({ ...fault, what: `${file.name}: ${fault.what}` }));
      }
    }
    if (added && files.length > 1) toast(addedWords(added, nameOf(landmark)));
    if (!added && !faults.length) toast("They were in the gallery already.");
    await load({ again: true });
    state.replaceChildren(...faults);
  }

  function rename() {
    const field = h("input", { id: "new-name", type: "text", value: landmark.name ?? "", maxlength: 400, autocomplete: "off" });
    const form = h("form", { method: "dialog" }, h("label", { for: "new-name" }, "Name"), field,
      h("p", { class: "note" }, `The id stays ${id}.`),
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Rename"), button("Cancel", () => dialog.close())));
    form.addEventListener("submit", () => {
      const name = field.value.trim();
      change(() => call("PATCH", address, { name }), name ? `Renamed to ${name}.` : "The name is gone.");
    });
    const dialog = openDialog(`Rename ${nameOf(landmark)}`, form);
    field.focus();
    field.select();
  }

  function merge() {
    const box = comboBox({ label: "Give all its photographs to", placeholder: "Name of a landmark", mayCreate: false, except: id });
    const form = h("form", {}, box.element,
      h("p", { class: "note" }, `${nameOf(landmark)} is gone then; undo brings it back.`),
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Merge"), button("Cancel", () => dialog.close())));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const into = box.value();
      if (!into) { box.invalid("Choose a landmark of the list."); return; }
      dialog.close();
      await change(() => call("POST", `${address}/merge`, { into: into.landmark_id }), `Merged into ${nameOf(into)}.`,
        { after: () => go(`#/landmarks/${encodeURIComponent(into.landmark_id)}`) });
    });
    const dialog = openDialog(`Merge ${nameOf(landmark)}`, form);
  }

  async function removeAll() {
    const name = nameOf(landmark);
    if (!(await ask(`Remove ${name}?`, `All ${counted(landmark.num_images, "photograph")} leave the gallery. It can be taken back, here or from the history.`, "Remove"))) return;
    await change(() => call("DELETE", address), `${name} is removed.`, { after: () => go("#/landmarks") });
  }

  function item(image, number) {
    const name = nameOf(landmark);
    const position = shown - landmark.images.length + number + 1;
    const remove = () => change(() => call("DELETE", `/v1/images/${encodeURIComponent(image.image_id)}`), "The photograph is removed.",
      landmark.num_images > 1 ? {} : { after: () => go("#/landmarks") });
    return h("li", {},
      h("button", { type: "button", class: "picture", "aria-label": `Enlarge photograph ${position} of ${name}`, on: { click: () => enlarge(image, name) } },
        pictureOf(`${image.thumbnail}?size=400`, `${name}, photograph ${position}`)),
      creditOf(image) ?? h("span", { class: "credit" }, "no author or licence known"),
      image.latitude !== null && image.latitude !== landmark.latitude ? h("span", { class: "credit" }, placeOf(image)) : null,
      gallery.read_only ? null : button("Remove", remove, { class: "quiet", "aria-label": `Remove photograph ${position}` }));
  }

  load();
  return {
    title: id,
    element: h("div", {}, h("p", { class: "back" }, h("a", { href: "#/landmarks" }, "← All landmarks")), title, facts, tools, state,
      h("h2", { class: "unseen" }, "Photographs"), photos, more),
  };
}

function enlarge(image, name) {
  openDialog(name, h("figure", { class: "large" }, pictureOf(image.picture, name, { loading: "eager" }),
    h("figcaption", {}, creditOf(image) ?? "no author or licence known", h("span", { class: "id" }, image.image_id))));
}

function spaced(parts) {
  return parts.filter(Boolean).flatMap((one, at) => (at ? [" · ", one] : [one]));
}
