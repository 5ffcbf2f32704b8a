// What is known of the gallery that is served, for the line at the top and for every view.

import { call } from "./api.js";
import { counted } from "./words.js";

let facts = null;

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

function tell() {
  const words = [
    `${facts.name}, version ${facts.version}: ${counted(facts.num_images, "photograph")} of ${counted(facts.num_landmarks, "landmark")}`,
    facts.read_only ? "read only" : "",
  ];
  const line = document.getElementById("gallery");
  line.textContent = words.filter(Boolean).join(" · ");
  line.title = facts.runs_on;
}
