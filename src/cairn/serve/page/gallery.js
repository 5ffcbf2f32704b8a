// What is known of the gallery that is served, for the line at the top and for every view.

import { call } from "./api.js";
import { counted } from "./words.js";

const POLL_MS = 1000;

let facts = null;
let following = null;

/** Return the facts; asked for anew when something changed. */
export async function galleryFacts({ again = false } = {}) {
  if (!facts || again) facts = await call("GET", "/v1/gallery");
  tell();
  return facts;
}

/** Let counts be those of now, after a change. */
export async function galleryChanged() {
  try {
    await galleryFacts({ again: true });
  } catch {
    // the next view tells
  }
}

/** Return the facts once chances are not being worked out again any more. */
export function whenCalibrated() {
  following ??= follow().finally(() => { following = null; });
  return following;
}

async function follow() {
  while (facts.calibration_state === "renewing") {
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    await galleryChanged();
  }
  return facts;
}

function tell() {
  const words = [
    `${facts.name}, version ${facts.version}: ${counted(facts.num_images, "photograph")} of ${counted(facts.num_landmarks, "landmark")}`,
    facts.read_only ? "read only" : "",
    facts.calibration_state === "renewing" ? "renewing chances" : "",
  ];
  const line = document.getElementById("gallery");
  line.textContent = words.filter(Boolean).join(" · ");
  line.title = facts.runs_on;
  if (facts.calibration_state === "renewing") whenCalibrated();
}
