// Names of landmarks of which only the id is known, asked for once and when they come into sight.

import { call } from "./api.js";
import { h } from "./dom.js";

const known = new Map();

/** Return an element with a landmark's id that becomes its name. */
export function named(landmarkId) {
  const made = h("span", {}, landmarkId);
  const watch = new IntersectionObserver(async (entries) => {
    if (!entries.some((one) => one.isIntersecting)) return;
    watch.disconnect();
    if (!known.has(landmarkId)) {
      known.set(landmarkId, call("GET", `/v1/landmarks/${encodeURIComponent(landmarkId)}?limit=1`)
        .then((found) => found.name, () => null));
    }
    made.textContent = (await known.get(landmarkId)) || landmarkId;
  });
  watch.observe(made);
  return made;
}
