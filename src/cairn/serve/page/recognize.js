// The first view: photographs are dropped, pasted, chosen or taken, and answered one by one.

import { call, Fault, upload } from "./api.js";
import { answerOf } from "./answer.js";
import { announce, button, faultBox, h, progressBar } from "./dom.js";
import { galleryFacts, whenCalibrated } from "./gallery.js";
import { tile } from "./landmarks.js";
import { fit, mayBePhoto, shrink } from "./pictures.js";
import { confidenceOf, counted, nameOf } from "./words.js";

const AT_ONCE = 2;
const SMALLER = [1600, 1024];
const TASTE = 5;
const IN_USE_MS = 1000;
const OF_THE_FILE = new Set([413, 415, 422]); // sent again, it is refused again

const cards = h("div", { class: "answers" });
const queue = [];
let running = 0;
let facts = null; // of the gallery

/** Return the view. Answers stay while other views are looked at. */
export function recognizeView({ gallery }) {
  facts = gallery;
  const files = input("Choose photographs", { multiple: true });
  const camera = input("Take a photo", { capture: "environment" });
  const zone = h("section", { class: "zone", "aria-label": "Photographs to recognize" },
    h("div", { class: "zone-words" },
      h("p", { class: "zone-lead" }, "Drop photographs here"),
      h("p", { class: "note" }, "or paste one (Ctrl V), or")),
    h("div", { class: "actions" }, files.label, camera.label));
  camera.label.classList.add("touch");
  const taste = h("section", { class: "taste" });
  if (facts.num_images && !cards.children.length) fillTaste(taste);
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("over"); });
  return {
    title: "Which landmark is this?",
    element: h("div", {},
      h("h1", { tabindex: -1 }, "Which landmark is this?"),
      zone,
      facts.num_images ? null : h("p", { class: "warning" }, "The gallery is empty: add a folder first."),
      h("h2", { class: "unseen" }, "Answers"),
      cards,
      taste),
    leave: () => zone.classList.remove("over"),
  };
}

async function fillTaste(place) {
  try {
    const { landmarks, total } = await call("GET", `/v1/landmarks?limit=${TASTE}`);
    if (!landmarks.length || cards.children.length) return;
    place.append(h("h2", {}, "What this gallery knows"), h("ul", { class: "tileset" }, landmarks.map(tile)),
      total > landmarks.length ? h("p", {}, h("a", { href: "#/landmarks" }, `All ${counted(total, "landmark")}`)) : "");
  } catch {
    // the view is whole without it
  }
}

/** Take photographs that were dropped or pasted anywhere on the page. */
export function listen(show) {
  document.addEventListener("dragover", (event) => { if (hasFiles(event.dataTransfer)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    document.querySelector(".zone")?.classList.remove("over");
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    if (document.querySelector(".takes-files")) return; // another view takes files of its own
    show();
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const found = [...(event.clipboardData?.files ?? [])];
    if (!found.length || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    show();
    take(found);
  });
}

function hasFiles(transfer) {
  return [...(transfer?.types ?? [])].includes("Files");
}

function input(text, props) {
  const field = h("input", { type: "file", accept: "image/*", class: "unseen", ...props, on: {
    change: () => { take([...field.files]); field.value = ""; },
  } });
  return { label: h("label", { class: props.capture ? "button" : "button primary" }, field, text) };
}

function take(files) {
  if (!files.length) return;
  const made = files.map((file) => new Card(file));
  document.querySelector(".taste")?.remove();
  cards.prepend(...made.map((one) => one.element));
  if (files.length > 1) announce(`${files.length} photographs are looked at.`);
  made.forEach((one) => one.begin());
}

function next() {
  while (running < AT_ONCE && queue.length) {
    const card = queue.shift();
    running += 1;
    card.work().finally(() => { running -= 1; next(); });
  }
}

/** A photograph on its way to an answer. */
class Card {
  constructor(file) {
    this.file = file;
    this.stopped = new AbortController();
    this.address = URL.createObjectURL(file);
    this.photo = h("img", { class: "photo", src: this.address, alt: `Your photograph ${file.name}` });
    this.photo.addEventListener("error", () => {
      this.photo.replaceWith(h("span", { class: "photo absent" }, "no preview"));
    }, { once: true });
    this.body = h("div", { class: "told" });
    this.element = h("article", { class: "case answer", "aria-label": file.name },
      h("div", { class: "seen" }, h("figure", {}, this.photo, h("figcaption", { class: "id", title: file.name }, file.name))),
      this.body,
      button("×", () => this.remove(), { class: "close", "aria-label": `Put away ${file.name}` }));
  }

  begin() {
    this.show(h("p", { class: "waiting" }, "Waiting for its turn"));
    queue.push(this);
    next();
  }

  show(...content) {
    this.body.replaceChildren(...content.flat().filter(Boolean));
  }

  remove() {
    this.stopped.abort();
    const at = queue.indexOf(this);
    if (at >= 0) queue.splice(at, 1);
    const beside = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    URL.revokeObjectURL(this.address);
    (beside?.querySelector("button, a, input") ?? document.querySelector(".zone input"))?.focus();
  }

  async work() {
    if (this.stopped.signal.aborted) return;
    const bar = progressBar("Sending");
    this.show(bar.element);
    try {
      facts = await galleryFacts();
      if (!mayBePhoto(this.file)) {
        throw new Fault({ what: "this is no photograph", todo: "Choose a JPEG, PNG or WebP file.", status: 415 });
      }
      const { file, note } = await fit(this.file, facts.max_body_bytes - 4096);
      this.note = note;
      this.sent = file;
      const prediction = await this.recognize(bar);
      if (prediction.probability === null) facts = await galleryFacts({ again: true });
      this.show(...answerOf(this, prediction, facts));
      if (prediction.probability === null) this.askAgain();
      const { words } = confidenceOf(prediction);
      announce(`${this.file.name}: ${words}${prediction.verdict === "unknown" ? ". Closest:" : ","} ${nameOf(prediction.landmark)}.`);
    } catch (fault) {
      if (fault.name === "AbortError") return;
      if (!fault.what) throw fault;
      this.show(faultBox(fault, OF_THE_FILE.has(fault.status) ? null : () => this.begin()));
    }
  }

  /** Show the answer with its chance, once there is one and nobody is at work on the card. */
  async askAgain() {
    if (facts.calibration_state !== "renewing") return;
    do facts = await whenCalibrated(); while (await this.isInUse());
    if (facts.calibration_state !== "fresh" || this.stopped.signal.aborted || this.body.querySelector(".done")) return;
    try {
      const prediction = await this.recognize({ set() {} });
      if (!(await this.isInUse())) this.show(...answerOf(this, prediction, facts));
    } catch {
      // the answer that stands there is as good but for its chance
    }
  }

  async isInUse() {
    const isOpen = () => this.body.matches(":focus-within") || this.body.querySelector(".correct > *:not(.done), [aria-expanded=true]");
    if (!isOpen()) return false;
    await new Promise((resolve) => { setTimeout(resolve, IN_USE_MS); });
    return !this.stopped.signal.aborted;
  }

  async recognize(bar, sides = SMALLER) {
    try {
      const answer = await upload("/v1/recognize?explain=true&top=6", [this.sent], {
        signal: this.stopped.signal,
        onProgress: (share) => bar.set(share < 1 ? share : null, share < 1 ? `Sending, ${Math.round(share * 100)} %` : "Looking"),
      });
      return answer.predictions[0];
    } catch (fault) {
      const isTooLarge = fault.status === 413 || /too large/.test(fault.where ?? "");
      if (!sides.length || !(isTooLarge || fault.status === 408)) throw fault;
      try {
        this.sent = await shrink(this.sent, facts.max_body_bytes - 4096, sides.slice(0, 1));
      } catch {
        throw fault;
      }
      this.note = `Sent smaller, at most ${sides[0]} pixels wide or high: ${isTooLarge ? "it was more than the server takes" : "the network is slow"}.`;
      return this.recognize(bar, sides.slice(1));
    }
  }
}

/** Say how many photographs are on their way. */
export function onTheWay() {
  return running + queue.length ? counted(running + queue.length, "photograph") : "";
}
