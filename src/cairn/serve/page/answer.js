// An answer: the landmark, how sure, why, and what to do about it.

import { lookAt } from "./attention.js";
import { correct } from "./correct.js";
import { button, h } from "./dom.js";
import { pictureOf } from "./pictures.js";
import { confidenceOf, creditOf, factsOf, nameOf, outside, placeOf, similarity } from "./words.js";

const SHOWN = 3;

/** Return what a card shows beside its photograph. */
export function answerOf(card, prediction, gallery) {
  const { words, kind, detail } = confidenceOf(prediction, gallery);
  const isUnknown = prediction.verdict === "unknown";
  const landmark = prediction.landmark;
  const name = nameOf(landmark);
  const place = placeOf(landmark);
  const link = h("a", { href: `#/landmarks/${encodeURIComponent(landmark.landmark_id)}` }, name);
  return [
    h("p", { class: "sure" }, h("span", { class: `verdict ${kind}` }, words)),
    isUnknown
      ? h("h3", { class: "name unknown" }, h("span", {}, "Closest: "), link)
      : h("h3", { class: "name" }, link),
    h("p", { class: "facts" }, factsOf(landmark)),
    meter(prediction),
    h("p", { class: "note" }, detail),
    place || landmark.url
      ? h("p", { class: "facts" }, place, place && landmark.url ? " · " : "", landmark.url ? outside(landmark.url, "About it") : "")
      : null,
    penaltyOf(prediction),
    card.note ? h("p", { class: "note" }, card.note) : null,
    actions(card, prediction, gallery),
    evidence(card, prediction),
  ];
}

function meter(prediction) {
  const chance = prediction.probability;
  if (chance === null) return null;
  return h("div", { class: `meter ${confidenceOf(prediction).kind}`, "aria-hidden": "true", vars: { "--share": `${Math.round(chance * 100)}%` } }, h("span"));
}

function penaltyOf(prediction) {
  const penalty = prediction.penalty;
  if (!penalty?.applied) return null;
  if (penalty.changed_answer) {
    const other = penalty.landmark_id_without;
    return h("p", { class: "note" }, "Without the penalty for images that resemble anything, ",
      h("a", { href: `#/landmarks/${encodeURIComponent(other)}` }, other),
      ` would have won, at a similarity of ${similarity(penalty.similarity_without)}.`);
  }
  if (penalty.taken_off < 0.005) return null;
  return h("p", { class: "note" },
    `The best image resembles pictures of no landmark too, so ${similarity(penalty.taken_off)} was taken off; the answer is the same without.`);
}

function actions(card, prediction, gallery) {
  const name = nameOf(prediction.landmark);
  const place = h("div", { class: "correct" });
  const row = h("div", { class: "actions" },
    button("Where it looks", (event) => lookAt(card, prediction, event.currentTarget), { "aria-expanded": "false" }));
  if (!gallery.read_only) {
    const isUnknown = prediction.verdict === "unknown";
    if (!isUnknown) row.prepend(button("Yes, add it", (event) => correct.add(card, prediction.landmark, event.currentTarget), { "aria-label": `Yes, add it to ${name}` }));
    const open = button(isUnknown ? "This is …" : "No, this is …", () => {
      const isOpen = open.getAttribute("aria-expanded") === "true";
      open.setAttribute("aria-expanded", String(!isOpen));
      place.replaceChildren(...(isOpen ? [] : [correct.form(card, prediction)]));
      if (!isOpen) place.querySelector("input").focus();
    }, { "aria-expanded": "false" });
    row.insertBefore(open, row.lastChild);
  }
  return [row, place];
}

function evidence(card, prediction) {
  const all = prediction.evidence;
  if (!all.length) return null;
  const list = h("ol", { class: "evidence" }, all.slice(0, SHOWN).map((one) => item(card, prediction, one)));
  const more = all.length > SHOWN
    ? button(`${all.length - SHOWN} more`, () => {
      const added = all.slice(SHOWN).map((one) => item(card, prediction, one));
      list.append(...added);
      more.remove();
      added[0].querySelector("button").focus();
    }, { class: "quiet" })
    : null;
  return h("section", {}, h("h4", {}, "Most similar photographs of the gallery"), list, more);
}

function item(card, prediction, one) {
  const name = one.landmark_name || one.landmark_id;
  const isKnown = prediction.verdict !== "unknown";
  const isSame = isKnown && one.landmark_id === prediction.landmark.landmark_id;
  const words = one.penalty > 0.005
    ? `${similarity(one.similarity)} − ${similarity(one.penalty)} penalty = ${similarity(one.score)}`
    : `${similarity(one.similarity)} similar`;
  const share = (value) => `${Math.round(Math.min(1, Math.max(0, value)) * 100)}%`;
  return h("li", {},
    h("button", { type: "button", class: "picture", "aria-label": `Compare with ${name}, ${words}`, on: { click: () => lookAt.compare(card, one) } },
      pictureOf(`${one.thumbnail}?size=400`, `${name} in the gallery`)),
    h("div", { class: "bar", "aria-hidden": "true", vars: { "--score": share(one.score), "--similarity": share(one.similarity) } }, h("span")),
    h("p", {}, h("b", { class: isKnown && !isSame ? "other" : "" }, isSame ? "Same landmark" : name), h("span", {}, words)),
    creditOf(one) ?? h("span", { class: "credit" }, "no author or licence known"));
}
