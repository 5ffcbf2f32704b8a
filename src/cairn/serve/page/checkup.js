// The gallery doctor: started here, its findings as cards with photographs and what to do.

import { call } from "./api.js";
import { ask, button, faultBox, h, progressBar, toast } from "./dom.js";
import { galleryChanged } from "./gallery.js";
import { rollBack } from "./history.js";
import { named } from "./names.js";
import { pictureOf, thumbnailOf } from "./pictures.js";
import { counted, percent, similarity } from "./words.js";

const POLL_MS = 700;
const BADGES = { act: ["wrong", "to do"], look: ["look", "to look at"], note: ["none", "to know"] };
const LISTS = {
  contradictions: ["One picture, two landmarks", "Copies or nearly equal pictures under different landmarks."],
  outliers: ["Images that look like another landmark", "Their nearest images are all of other landmarks."],
  collisions: ["Landmarks that look like one", "Their images are nearest to each other's."],
  attracting: ["Images that attract anything", "Pictures of no landmark resemble them, so they carry a penalty."],
  redundant: ["Nearly the same picture twice", "Copies, and pictures that are nearly equal, within a landmark."],
  singles: ["Landmarks with one photograph", "Nothing in the gallery can confirm it: add more."],
};

/** Return the view. It shows the latest checkup, and goes on with one that is running. */
export function checkupView({ gallery }) {
  const place = h("div", { class: "checkup" });
  const begin = button("Check the gallery", start, { class: "primary" });
  let timer = 0;
  let isLeft = false;

  async function attempt(work) {
    try {
      await work();
    } catch (fault) {
      if (!fault.what) throw fault;
      begin.disabled = false;
      if (!isLeft) place.replaceChildren(faultBox(fault, () => attempt(work)));
    }
  }

  async function start() {
    begin.disabled = true;
    await attempt(async () => follow(await call("POST", "/v1/jobs/doctor")));
  }

  function follow(job) {
    if (isLeft) return;
    if (job.status === "waiting" || job.status === "running") {
      begin.disabled = true;
      let bar = place.querySelector(".progress")?.bar;
      if (!bar) {
        bar = progressBar("Starting");
        bar.element.bar = bar;
        place.replaceChildren(bar.element, button("Stop", () => attempt(async () => follow(await call("DELETE", `/v1/jobs/${job.job_id}`)))));
      }
      bar.set(job.total ? job.done / job.total : null, job.step || "Looking");
      timer = setTimeout(() => attempt(async () => follow(await call("GET", `/v1/jobs/${job.job_id}`))), POLL_MS);
      return;
    }
    begin.disabled = false;
    begin.textContent = "Check again";
    if (job.status === "done") place.replaceChildren(...report(job, gallery, start));
    else if (job.status === "cancelled") place.replaceChildren(h("p", {}, "The checkup was stopped."));
    else place.replaceChildren(faultBox({ where: "", todo: "", ...(job.error ?? {}), what: job.error?.what || "the checkup failed" }));
  }

  attempt(async () => {
    const { jobs } = await call("GET", "/v1/jobs");
    const latest = jobs.find((one) => one.kind === "doctor" && one.status !== "cancelled");
    if (latest) follow(await call("GET", `/v1/jobs/${latest.job_id}`));
    else if (!isLeft) place.replaceChildren(h("p", { class: "note" }, "It changes nothing. On a small gallery it takes seconds."));
  });
  return {
    title: "Checkup",
    element: h("div", {}, h("h1", { tabindex: -1 }, "Checkup"),
      h("p", {}, "Looks for wrong labels, landmarks that are one, copies, and images that attract anything."),
      h("div", { class: "actions" }, begin), place),
    leave: () => { isLeft = true; clearTimeout(timer); },
  };
}

function report(job, gallery, again) {
  const found = job.result;
  const steps = found.first ?? [];
  const isOld = job.version !== gallery.version;
  const health = found.leave_one_out;
  return [
    isOld ? h("p", { class: "warning" }, `This is of version ${job.version}; the gallery was changed since. Check again to see what is left.`) : null,
    steps.length ? null : h("p", { class: "done" }, "Nothing was found."),
    health === null || health === undefined ? null : h("p", { class: "note" }, `Of the images, ${percent(health)} have one of their own landmark nearest.`),
    steps.length ? h("h2", {}, "What to do first") : null,
    steps.length ? h("ol", { class: "steps" }, steps.map((step) => h("li", {}, h("div", {},
      h("span", { class: `verdict ${BADGES[step.severity][0]}` }, BADGES[step.severity][1]),
      button(step.text, () => jump(step.name), { class: "textual" }))))) : null,
    Object.entries(LISTS).map(([name, [title, text]]) => section(name, title, text, found.lists?.[name], { gallery, again, isOld })),
  ].flat().filter(Boolean);
}

function jump(name) {
  const title = document.getElementById(`list-${name}`);
  title?.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  title?.focus({ preventScroll: true });
}

function section(name, title, text, list, options) {
  const rows = list?.shown ?? [];
  if (!rows.length) return null;
  const rest = list.num_findings - rows.length;
  return h("section", {}, h("h2", { id: `list-${name}`, tabindex: -1 }, title), h("p", { class: "note" }, text,
    rest > 0 ? ` The first ${rows.length} of ${list.num_findings}.` : ""),
  h("ul", { class: "cases" }, rows.map((row) => card(name, row, options))));
}

function card(name, row, { gallery, again, isOld }) {
  const [kind, words] = BADGES[row.severity] ?? BADGES.note;
  const place = h("div", {});
  const deeds = gallery.read_only || isOld ? [] : deedsOf(name, row);
  const make = h("li", { class: "case finding" },
    h("h3", {}, h("span", { class: `verdict ${kind}` }, words), titleOf(name, row)),
    h("p", {}, reasonOf(name, row)),
    h("div", { class: "strip" }, picturesOf(name, row).map(([label, id, landmark]) => h("figure", {},
      pictureOf(thumbnailOf(id), `${label}: ${landmark}`),
      h("figcaption", {}, h("b", {}, label), " ", h("a", { href: `#/landmarks/${encodeURIComponent(landmark)}` }, named(landmark)))))),
    deeds.length ? h("div", { class: "actions" }, deeds.map(([text, question, work]) => button(text, () => act(text, question, work)))) : null,
    place);

  async function act(text, question, work) {
    if (!(await ask(`${text}?`, question, text))) return;
    try {
      const made = await work();
      galleryChanged();
      make.querySelector(".actions").remove();
      const done = h("p", { class: "done" }, "Done. Check again when you are through.");
      place.replaceChildren(done, button("Check again", again, { class: "quiet" }));
      toast("Done.", { action: "Undo", onAction: async () => {
        try {
          await rollBack(made.entry.version - 1, { unless: made.entry.version });
          done.textContent = "Taken back.";
        } catch (fault) {
          if (!fault.what) throw fault;
          place.append(faultBox(fault));
        }
      } });
    } catch (fault) {
      if (!fault.what) throw fault;
      place.replaceChildren(faultBox(fault));
    }
  }
  return make;
}

function titleOf(name, row) {
  if (name === "collisions") return [named(row.landmark_id_a), " and ", named(row.landmark_id_b)];
  if (name === "contradictions") return [named(row.landmark_id_a), " or ", named(row.landmark_id_b), "?"];
  return named(row.landmark_id);
}

function reasonOf(name, row) {
  const like = (value) => (value === null || value === undefined ? "unknown" : similarity(value));
  const reasons = {
    attracting: () => `${counted(row.num_picked, "picture")} of no landmark picked it, at a similarity of ${like(row.mean_similarity)}; penalty ${like(row.penalty)}.`,
    collisions: () => `${counted(row.num_images_a, "photograph")} and ${row.num_images_b}; similarity ${like(row.mean_similarity)} in the middle.`,
    contradictions: () => (row.kind === "copy" ? "The same picture, under two landmarks." : `Similarity ${like(row.similarity)}, under two landmarks.`),
    outliers: () => `Most similar to another landmark at ${like(row.other_similarity)}, to its own at ${like(row.own_similarity)}.`,
    redundant: () => (row.kind === "copy" ? "The same picture again." : `Similarity ${like(row.similarity)} to one that is kept.`),
    singles: () => "The only photograph of its landmark.",
  };
  return reasons[name]();
}

function picturesOf(name, row) {
  const found = {
    attracting: () => [["This", row.image_id, row.landmark_id], ["Nearest", row.nearest_image_id, row.nearest_landmark_id]],
    collisions: () => [["One", row.example_image_id, row.example_landmark_id], ["The other", row.nearest_image_id, row.nearest_landmark_id]],
    contradictions: () => [["One", row.image_id_a, row.landmark_id_a], ["The other", row.image_id_b, row.landmark_id_b]],
    outliers: () => [["This", row.image_id, row.landmark_id], ["Most similar", row.other_image_id, row.other_landmark_id], ["Own nearest", row.own_image_id, row.landmark_id]],
    redundant: () => [["Kept", row.keep_image_id, row.landmark_id], ...(row.images ?? [row]).slice(0, 3).map((one) => ["May go", one.image_id, row.landmark_id])],
    singles: () => [["The only one", row.image_id, row.landmark_id]],
  };
  return found[name]().filter(([, id]) => id);
}

// What can be done at once: a word, a question, and the change.
function deedsOf(name, row) {
  const remove = (id, text = "Remove the photograph") => [text, "The photograph leaves the gallery. It can be taken back, here or from the history.",
    () => call("DELETE", `/v1/images/${encodeURIComponent(id)}`)];
  const merge = (from, into) => [`Merge into ${into}`, `All photographs of ${from} become ones of ${into}. It can be taken back.`,
    () => call("POST", `/v1/landmarks/${encodeURIComponent(from)}/merge`, { into })];
  if (name === "collisions") return row.verdict === "keep apart" ? [] : [merge(row.landmark_id_a, row.landmark_id_b)];
  if (name === "contradictions") {
    return [remove(row.image_id_a, "Remove the one"), remove(row.image_id_b, "Remove the other"),
      ...(row.verdict === "merge" ? [merge(row.landmark_id_a, row.landmark_id_b)] : [])];
  }
  if (name === "singles") return [];
  if (name === "redundant") return (row.images ?? [row]).length === 1 ? [remove((row.images ?? [row])[0].image_id)] : [];
  return [remove(row.image_id)];
}
