// From numbers and facts to words.

import { h } from "./dom.js";

const PERCENT = new Intl.NumberFormat("en", { style: "percent" });
const COUNT = new Intl.NumberFormat("en");
const VERY_LIKELY = 0.9;
const LIKELY = 0.6;

/** Return an answer's confidence: words, the number beside them, and the colour of the chip. */
export function confidenceOf(prediction, gallery = null) {
  const chance = prediction.probability;
  if (chance === null || chance === undefined) {
    if (gallery?.calibration_state === "renewing") {
      return { words: "Closest match", kind: "none", detail: "The gallery has changed: the chance of being right is being worked out again, and will stand here." };
    }
    return { words: "Closest match", kind: "none", detail: "How sure this is cannot be said: the gallery has no fresh calibration." };
  }
  const detail = `${percent(chance)} chance of being right`;
  if (prediction.verdict === "unknown") return { words: "Not a landmark we know", kind: "wrong", detail };
  if (chance >= VERY_LIKELY) return { words: "Very likely", kind: "right", detail };
  if (chance >= LIKELY) return { words: "Likely", kind: "right", detail };
  return { words: "Perhaps", kind: "look", detail };
}

/** Return a share in percent; never 100 % or 0 % of what is less or more. */
export function percent(share) {
  if (share > 0.99 && share < 1) return "over 99 %";
  if (share > 0 && share < 0.01) return "under 1 %";
  return PERCENT.format(share).replace("%", " %");
}

/** Return what people call a landmark. */
export function nameOf(landmark) {
  return landmark.name || landmark.landmark_id;
}

/** Return a number with its noun. */
export function counted(number, one, many = `${one}s`) {
  return `${COUNT.format(number)} ${number === 1 ? one : many}`;
}

/** Return a size in words. */
export function sized(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 2 ** 20).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** Return a likeness with two decimals. */
export function similarity(value) {
  return value.toFixed(2).replace("-", "−");
}

/** Return a moment as people write it where the browser is. */
export function when(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** Return a link to another site, which learns nothing from it; plain text where it is none. */
export function outside(address, text) {
  if (!/^https?:\/\//i.test(address ?? "")) return text;
  return h("a", { href: address, rel: "noopener noreferrer external", target: "_blank" }, text,
    h("span", { class: "unseen" }, " (another site, new tab)"));
}

/** Return a place as a link to a map; null where it is not known. */
export function placeOf({ latitude, longitude }) {
  if (latitude === null || latitude === undefined) return null;
  const words = `${Math.abs(latitude).toFixed(4)}° ${latitude < 0 ? "S" : "N"}, ${Math.abs(longitude).toFixed(4)}° ${longitude < 0 ? "W" : "E"}`;
  const at = `mlat=${latitude}&mlon=${longitude}#map=15/${latitude}/${longitude}`;
  return outside(`https://www.openstreetmap.org/?${at}`, words);
}

/** Return who made a photograph and what may be done with it; null where it is not known. */
export function creditOf(image) {
  const parts = [image.author, image.license].filter(Boolean).join(", ");
  if (image.source_url) return h("span", { class: "credit" }, parts ? "© " : "", outside(image.source_url, parts || "Source"));
  return parts ? h("span", { class: "credit" }, `© ${parts}`) : null;
}

/** Return facts about a landmark in one line. */
export function factsOf(landmark) {
  const kind = landmark.natural_or_human_made;
  return [landmark.category, kind, counted(landmark.num_images, "photograph")].filter(Boolean).join(" · ");
}
