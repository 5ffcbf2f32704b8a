// "This is ...": a photograph is added to a landmark, and the addition can be taken back.

import { call, upload } from "./api.js";
import { comboBox } from "./combobox.js";
import { button, faultBox, h, toast } from "./dom.js";
import { galleryChanged } from "./gallery.js";
import { counted, nameOf } from "./words.js";

export const correct = {
  /** Return the form that asks which landmark it is. */
  form(card, prediction) {
    const state = h("div", {});
    const box = comboBox({
      label: "This is",
      placeholder: "Name of a landmark",
      first: distinct(prediction.evidence),
    });
    const add = button("Add the photograph", () => {}, { class: "primary", type: "submit" });
    const form = h("form", { class: "correct-form", novalidate: true }, box.element, add, state);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = box.value();
      if (!chosen) {
        box.invalid("Choose a landmark of the list, or type the name of a new one.");
        return;
      }
      correct.add(card, chosen, add, state);
    });
    return form;
  },

  /** Add a card's photograph to a landmark; `landmark.isNew` for one that is not there yet. */
  async add(card, landmark, trigger, state = null) {
    const name = nameOf(landmark);
    const place = state ?? card.element.querySelector(".correct");
    trigger.disabled = true;
    try {
      const made = await addPhotos(landmark, [card.sent]);
      place.closest(".told")?.querySelector(".actions")?.remove();
      const box = card.element.querySelector(".correct");
      if (!made.num_added) {
        box.replaceChildren(h("p", { class: "done" }, `This photograph is in the gallery already, as ${name}.`));
        return;
      }
      const done = h("p", { class: "done" }, `Added to ${name}.`);
      const undo = async () => {
        try {
          await takeBack(made);
          done.textContent = `Taken back: not in ${name} any more.`;
          toast("Taken back.");
        } catch (fault) {
          if (!fault.what) throw fault;
          box.append(faultBox(fault, undo));
        }
      };
      box.replaceChildren(done);
      toast(`Added to ${name}.`, { action: "Undo", onAction: undo });
    } catch (fault) {
      if (!fault.what) throw fault;
      place.replaceChildren(faultBox(fault, () => correct.add(card, landmark, trigger, state)));
    } finally {
      trigger.disabled = false;
    }
  },
};

/** Add photographs to a landmark; return what the server says. */
export async function addPhotos(landmark, files, options = {}) {
  const path = `/v1/landmarks/${encodeURIComponent(landmark.landmark_id)}/images${landmark.isNew ? "?create=true" : ""}`;
  const made = await upload(path, files, options);
  if (made.entry) galleryChanged();
  return made;
}

/** Take an addition back: the version before it, or, after further changes, without its images. */
export async function takeBack(made) {
  const { versions } = await call("GET", "/v1/versions?limit=1");
  if (versions[0]?.version === made.entry.version) {
    await call("POST", "/v1/rollback", { version: made.entry.version - 1 });
  } else {
    for (const imageId of made.image_ids) await call("DELETE", `/v1/images/${encodeURIComponent(imageId)}`);
  }
  galleryChanged();
}

function distinct(evidence) {
  const seen = new Map();
  for (const one of evidence) {
    seen.set(one.landmark_id, { landmark_id: one.landmark_id, name: one.landmark_name, note: "similar" });
  }
  return [...seen.values()];
}

/** Say how many photographs were added. */
export function addedWords(number, name) {
  return `${counted(number, "photograph")} added to ${name}.`;
}
