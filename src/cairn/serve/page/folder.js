// A folder of photographs, one folder a landmark, is added file by file, and goes on after a break.

import { call } from "./api.js";
import { addPhotos } from "./correct.js";
import { announce, button, faultBox, h, progressBar } from "./dom.js";
import { galleryChanged } from "./gallery.js";
import { fit, mayBePhoto } from "./pictures.js";
import { counted, sized } from "./words.js";

const SHOWN = 40;
const BATCH_BYTES = 16 << 20;
const ID_BYTES = 16;

let work = null; // goes on while other views are looked at

/** Return the view. */
export function folderView({ gallery }) {
  const place = h("div", { class: "takes-files" });
  work ??= new FolderWork();
  work.gallery = gallery;
  work.place = place;
  work.draw();
  return {
    title: "Add a folder",
    element: h("div", {}, h("h1", { tabindex: -1 }, "Add a folder"),
      h("p", {}, "A folder with one folder of photographs a landmark, named after it. Files of no folder need a name below."),
      gallery.read_only ? h("p", { class: "warning" }, "This gallery is read only.") : place),
  };
}

class FolderWork {
  constructor() {
    this.reset();
  }

  reset() {
    this.groups = new Map(); // landmark -> files
    this.skipped = [];
    this.failed = [];
    this.done = 0;
    this.added = 0;
    this.state = "choosing";
    this.loose = [];
  }

  draw() {
    const parts = { choosing: () => this.choosing(), ready: () => this.ready(), running: () => this.running(), over: () => this.over() };
    this.place.replaceChildren(...parts[this.state]().filter(Boolean));
  }

  choosing() {
    const folder = this.field("Choose a folder", { webkitdirectory: true }, "button primary");
    const files = this.field("Choose files", { multiple: true, accept: "image/*" }, "button");
    const zone = h("div", { class: "zone" }, h("p", { class: "zone-lead" }, "Drop a folder here"), h("p", { class: "note" }, "or"),
      h("div", { class: "actions" }, folder, files));
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", async (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.classList.remove("over");
      this.take(await droppedFiles(event.dataTransfer));
    });
    return [zone];
  }

  field(text, props, kind) {
    const input = h("input", { type: "file", class: "unseen", ...props, on: {
      change: () => this.take([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }))),
    } });
    return h("label", { class: kind }, input, text);
  }

  /** Sort files by the folder that they lie in. */
  take(found) {
    for (const { file, path } of found) {
      const parts = path.split("/").filter(Boolean);
      if (parts.some((one) => one.startsWith("."))) continue;
      if (!mayBePhoto(file)) this.skipped.push(path);
      else if (parts.length > 1) this.group(parts.at(-2)).push({ file, path });
      else this.loose.push({ file, path });
    }
    if (!this.groups.size && !this.loose.length) {
      announce("No photographs are in it.");
      this.place.prepend(faultBox({ what: "no photographs are in it", todo: "Choose a folder with JPEG, PNG or WebP files." }));
      this.skipped = [];
      return;
    }
    this.state = "ready";
    this.draw();
    this.place.querySelector("input, button")?.focus();
  }

  group(name) {
    if (!this.groups.has(name)) this.groups.set(name, []);
    return this.groups.get(name);
  }

  total() {
    return [...this.groups.values()].reduce((sum, files) => sum + files.length, 0);
  }

  ready() {
    const names = [...this.groups].sort(([one], [other]) => one.localeCompare(other));
    const field = h("input", { id: "loose-name", type: "text", maxlength: 200, autocomplete: "off" });
    const form = h("form", {},
      this.loose.length ? h("div", { class: "field" }, h("label", { for: "loose-name" }, `Landmark of ${counted(this.loose.length, "file")} of no folder`), field) : null,
      names.length ? h("p", {}, `${counted(this.total(), "photograph")} of ${counted(names.length, "landmark")}:`) : null,
      names.length ? h("ul", { class: "counts" }, names.slice(0, SHOWN).map(([name, files]) => h("li", {}, h("span", {}, name), h("small", {}, String(files.length))))) : null,
      names.length > SHOWN ? h("p", { class: "note" }, `and ${counted(names.length - SHOWN, "more landmark")}`) : null,
      this.skipped.length ? h("p", { class: "note" }, `${counted(this.skipped.length, "file is", "files are")} no photographs and left out.`) : null,
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Add them"), button("Choose another folder", () => { this.reset(); this.draw(); })));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.loose.length) {
        const name = field.value.trim();
        if (!name) {
          field.setAttribute("aria-invalid", "true");
          field.focus();
          announce("A name is missing.");
          return;
        }
        this.group(name).push(...this.loose);
        this.loose = [];
      }
      this.begin();
    });
    return [form];
  }

  running() {
    this.bar ??= progressBar("Starting");
    this.tell();
    return [this.bar.element,
      h("p", { class: "note" }, "Other views can be used meanwhile. Added again, what is in the gallery already is passed over."),
      button("Stop", (event) => { this.stopping = true; event.currentTarget.disabled = true; })];
  }

  tell() {
    const total = this.total();
    this.bar?.set(total ? this.done / total : null, `${this.done} of ${total}${this.failed.length ? `, ${this.failed.length} failed` : ""}${this.at ? `: ${this.at}` : ""}`);
  }

  over() {
    const rest = this.total();
    const already = this.done - this.added - this.failed.length;
    const again = () => {
      for (const { name, one } of this.failed) this.group(name).push(one);
      this.failed = [];
      this.begin();
    };
    return [
      this.reason ? faultBox(this.reason) : null,
      h("p", { class: "done" }, this.stopping ? "Stopped. " : "Done. ", `${counted(this.added, "photograph")} added`,
        already > 0 ? `, ${already} were in the gallery already` : "", "."),
      this.failed.length ? h("div", { class: "fault" }, h("p", {}, h("b", {}, `${counted(this.failed.length, "file")} could not be added:`)),
        h("ul", {}, this.failed.slice(0, SHOWN).map(({ one, fault }) => h("li", {}, `${one.path}: ${(fault.where || "").replace(/^0: /, "") || fault.what}`))),
        this.failed.length > SHOWN ? h("p", {}, `and ${this.failed.length - SHOWN} more`) : null,
        button("Try these again", again)) : null,
      h("div", { class: "actions" },
        rest ? button(`Go on with the other ${rest}`, () => this.begin(), { class: "primary" }) : null,
        h("a", { class: "button", href: "#/landmarks" }, "See the landmarks"),
        button("Add another folder", () => { this.reset(); this.draw(); })),
    ];
  }

  async begin() {
    Object.assign(this, { state: "running", stopping: false, reason: null, ids: null, bar: null, done: 0, added: 0, at: "" });
    const left = new Map(this.groups);
    this.draw();
    this.place.querySelector("button")?.focus();
    const total = this.total();
    for (const [name, files] of left) {
      while (files.length && !this.stopping) await this.send(name, files, total);
      if (!files.length) this.groups.delete(name);
      if (this.stopping) break;
    }
    this.finish();
  }

  finish() {
    this.state = "over";
    galleryChanged();
    announce(`${this.added} photographs are added.`);
    this.draw();
  }

  /** Send the next files of a landmark in one request; what fails is kept with its reason. */
  async send(name, files, total) {
    const batch = [];
    let bytes = 0;
    let known;
    try {
      known = await this.idsOf(name);
    } catch (fault) {
      if (!fault.what) throw fault;
      this.stopping = true;
      this.reason = fault;
      return;
    }
    const most = Math.min(BATCH_BYTES, this.gallery.max_body_bytes - (1 << 16));
    while (files.length && batch.length < this.gallery.max_images && (!batch.length || bytes + files[0].file.size <= most)) {
      const one = files.shift();
      try {
        const { file } = await fit(one.file, this.gallery.max_body_bytes - 4096);
        if (known.has(await imageId(file))) {
          this.done += 1;
          this.show(total);
          continue;
        }
        batch.push({ one, file });
        bytes += file.size;
      } catch (fault) {
        this.failed.push({ name, one, fault: asFault(fault) });
        this.done += 1;
      }
    }
    this.at = `${name} (${sized(bytes)})`;
    this.show(total);
    if (batch.length) await this.post(name, batch);
    this.show(total);
  }

  /** Return the ids of a landmark's images, so that what is there already is not sent again. */
  async idsOf(name) {
    if (this.ids?.name === name) return this.ids.found;
    const found = new Set();
    const listed = await call("GET", `/v1/landmarks?search=${encodeURIComponent(name)}&limit=200`);
    const landmark = listed.landmarks.find((one) => one.landmark_id === name);
    while (landmark && found.size < landmark.num_images) {
      const { images } = await call("GET", `/v1/landmarks/${encodeURIComponent(name)}?offset=${found.size}&limit=200`);
      if (!images.length) break;
      images.forEach((one) => found.add(one.image_id));
    }
    this.ids = { name, found };
    return found;
  }

  async post(name, batch) {
    try {
      const files = batch.map(({ file }, at) => new File([file], String(at), { type: file.type })); // the server names one that spoils it
      const made = await addPhotos({ landmark_id: name, name, isNew: true }, files);
      this.added += made.num_added;
      this.done += batch.length;
    } catch (caught) {
      const fault = asFault(caught);
      const isOfOne = fault.status === 422 || fault.status === 409 || fault.status === 413;
      const at = /^(\d+): /.exec(fault.where ?? "")?.[1];
      if (batch.length > 1 && isOfOne && at !== undefined) {
        const [spoilt] = batch.splice(Number(at), 1);
        this.failed.push({ name, one: spoilt.one, fault: { ...fault, where: fault.where.slice(at.length + 2) } });
        this.done += 1;
        await this.post(name, batch);
        return;
      }
      if (batch.length > 1 && isOfOne) {
        for (const each of batch) await this.post(name, [each]); // one of them spoils it: find out which
        return;
      }
      if (!isOfOne) this.stopping = true; // the server is away or busy: nothing is served by going on
      for (const each of batch) this.failed.push({ name, one: each.one, fault });
      this.done += batch.length;
    }
  }

  show(total) {
    this.bar?.set(this.done / total, `${this.done} of ${total}${this.failed.length ? `, ${this.failed.length} failed` : ""}: ${this.at}`);
  }
}

/** Return the id that a photograph has in galleries: the start of its digest; "" where browsers make none. */
async function imageId(file) {
  if (!window.crypto?.subtle) return ""; // only pages from this machine, or by https, may; the server looks too
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return Array.from(digest.slice(0, ID_BYTES), (one) => one.toString(16).padStart(2, "0")).join("");
}

function asFault(fault) {
  if (!fault.what && fault.name !== "NotReadableError" && fault.name !== "NotFoundError") throw fault;
  return fault.what ? fault : { what: "the file cannot be read any more", where: "", todo: "", status: 422 };
}

/** Return all files of what was dropped, folders looked through. */
async function droppedFiles(transfer) {
  const roots = [...transfer.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  const visit = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
      found.push({ file, path: entry.fullPath });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const one of some) await visit(one);
    }
  };
  for (const root of roots) await visit(root);
  return found;
}
