// Where the model looks: context masks by stage, and what speaks for a match.

import { upload } from "./api.js";
import { announce, faultBox, fresh, h, openDialog, waiting } from "./dom.js";
import { pictureOf } from "./pictures.js";
import { creditOf, similarity } from "./words.js";

/** Show, or take away, the model's attention over the photograph of a card. */
export async function lookAt(card, prediction, trigger) {
  const place = card.element.querySelector(".seen");
  const there = place.querySelector(".maps");
  if (there) {
    there.remove();
    place.querySelector(".overlay")?.remove();
    trigger.setAttribute("aria-expanded", "false");
    return;
  }
  trigger.disabled = true;
  const maps = h("div", { class: "maps" }, waiting("Looking"));
  place.append(maps);
  try {
    const best = prediction.evidence[0];
    let found = await upload("/v1/attention", [card.sent], { signal: card.stopped.signal });
    const match = async () => {
      const path = `/v1/attention?evidence=${encodeURIComponent(best.image_id)}`;
      const made = await upload(path, [card.sent], { signal: card.stopped.signal });
      return { ...made.maps.find((one) => one.of === "photograph"), title: "The match", note: made.note };
    };
    if (found.maps.length && best) found.maps.push({ title: "The match", load: match });
    else if (best) found = { maps: [await match()], note: "" };
    trigger.setAttribute("aria-expanded", "true");
    maps.replaceChildren(...chooser(place, found));
  } catch (fault) {
    if (!fault.what) throw fault;
    maps.replaceChildren(faultBox(fault));
    trigger.setAttribute("aria-expanded", "true");
  } finally {
    trigger.disabled = false;
  }
}

/** Show a photograph and one of the gallery beside each other, and what speaks for their likeness. */
lookAt.compare = function compare(card, evidence) {
  const name = evidence.landmark_name || evidence.landmark_id;
  const left = h("figure", {}, h("img", { class: "photo", src: card.address, alt: `Your photograph ${card.file.name}` }),
    h("figcaption", {}, "Your photograph"));
  const right = h("figure", {}, pictureOf(evidence.picture, `${name} in the gallery`, { loading: "eager" }),
    h("figcaption", {}, name, creditOf(evidence)));
  const words = h("p", { class: "note" }, `Similarity ${similarity(evidence.similarity)}.`);
  const toggle = h("input", { type: "checkbox" });
  const state = h("div", {});
  let found = null;
  toggle.addEventListener("change", async () => {
    for (const one of [left, right]) one.querySelector(".overlay")?.remove();
    if (!toggle.checked) return;
    if (!found) {
      state.replaceChildren(waiting("Looking"));
      try {
        const path = `/v1/attention?evidence=${encodeURIComponent(evidence.image_id)}`;
        found = await upload(path, [card.sent]);
        state.replaceChildren(h("p", { class: "note" }, found.note));
      } catch (fault) {
        if (!fault.what) throw fault;
        toggle.checked = false;
        state.replaceChildren(faultBox(fault));
        return;
      }
    }
    if (!toggle.checked) return;
    for (const map of found.maps) (map.of === "photograph" ? left : right).prepend(overlay(map));
  });
  openDialog(`Your photograph and ${name}`,
    h("div", { class: "pair" }, left, right),
    words,
    h("label", { class: "check" }, toggle, "Show what speaks for their likeness (red), and against (blue)"),
    state);
};

function overlay(map) {
  const bytes = Uint8Array.from(atob(map.content), (one) => one.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: map.type }));
  const image = h("img", { class: "overlay", src: address, alt: `${map.title} over the photograph` });
  image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  return image;
}

function chooser(place, found) {
  const figure = place.querySelector("figure");
  const note = h("div", { class: "note" }, found.note);
  const group = fresh("map");
  let wanted = null;
  const choose = async (asked) => {
    wanted = asked;
    let map = asked;
    if (asked?.load && !asked.content) {
      note.textContent = "Looking";
      try {
        map = Object.assign(asked, await asked.load());
      } catch (fault) {
        if (!fault.what) throw fault;
        note.replaceChildren(faultBox(fault));
        return;
      }
    }
    if (wanted !== asked) return; // another one was chosen meanwhile
    figure.querySelector(".overlay")?.remove();
    if (map) figure.prepend(overlay(map));
    note.textContent = map ? map.note || found.note : found.note;
    announce(map ? `${map.title} is shown.` : "The photograph is shown.");
  };
  const option = (title, map, isChosen) => h("label", {},
    h("input", { type: "radio", name: group, checked: isChosen, on: { change: () => choose(map) } }), h("span", {}, title));
  const last = found.maps.findLast((one) => one.content) ?? null;
  choose(last);
  return [
    h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "What to show"),
      option("Photo", null, false), found.maps.map((map) => option(map.title, map, map === last))),
    note,
  ];
}
