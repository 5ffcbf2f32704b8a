// The page: which view is shown, and what all of them share.

import { Fault, onSignIn, token } from "./api.js";
import { checkupView } from "./checkup.js";
import { button, faultBox, fresh, h, openDialog, waiting } from "./dom.js";
import { folderView } from "./folder.js";
import { galleryFacts } from "./gallery.js";
import { historyView } from "./history.js";
import { landmarkView } from "./landmark.js";
import { landmarksView } from "./landmarks.js";
import { listen, recognizeView } from "./recognize.js";

const VIEWS = { "": recognizeView, landmarks: landmarksView, folder: folderView, checkup: checkupView, history: historyView };
const KNOCK_MS = 3000;

const main = document.getElementById("main");
let current = null;
let turn = 0;

/** Go to a view by its address; quietly: only the address changes. */
function go(hash, { quietly = false } = {}) {
  if (!quietly) {
    location.hash = hash;
  } else if (location.hash !== hash && hash.slice(2) !== location.hash.slice(2)) {
    history.replaceState(null, "", hash);
  }
}

async function show({ focus = true } = {}) {
  turn += 1;
  const mine = turn;
  const [path, words = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/");
  const view = parts[0] === "landmarks" && parts[1] ? landmarkView : VIEWS[parts[0]] ?? recognizeView;
  document.querySelectorAll(".bar nav a").forEach((link) => {
    if (link.getAttribute("href") === `#/${parts[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  current?.leave?.();
  current = null;
  main.replaceChildren(waiting("Loading"));
  try {
    const gallery = await galleryFacts();
    if (mine !== turn) return;
    current = view({ path: parts, query: new URLSearchParams(words), gallery, go });
  } catch (fault) {
    if (mine !== turn) return;
    if (!(fault instanceof Fault)) throw fault;
    main.replaceChildren(h("h1", { tabindex: -1 }, "Cairn"), faultBox(fault, () => show()));
    return;
  }
  main.replaceChildren(current.element);
  document.title = `${current.title} · Cairn`;
  if (focus) main.querySelector("h1")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function askToken(message) {
  return new Promise((resolve) => {
    const id = fresh("token");
    let isDone = false;
    const field = h("input", { id, type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
    const form = h("form", { method: "dialog" },
      message ? h("p", { class: "warning", role: "alert" }, message) : null,
      h("p", {}, "This server asks for a token. Whoever runs it has one for you; it is kept until you close this tab."),
      h("label", { for: id }, "Token"), field,
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Sign in")));
    form.addEventListener("submit", () => { token.set(field.value.trim()); isDone = true; tellSignedIn(); });
    const dialog = openDialog("Sign in", form);
    dialog.addEventListener("close", () => resolve(isDone));
    field.focus();
  });
}

function tellSignedIn() {
  document.getElementById("sign-out")?.remove();
  if (!token.get()) return;
  document.querySelector(".bar").append(button("Sign out", () => {
    token.set("");
    location.reload();
  }, { id: "sign-out", class: "quiet" }));
}

// One line for the whole page while the server is away, and gone by itself when it is back.
let knocking = 0;
window.addEventListener("cairn-unreachable", () => {
  const trouble = document.getElementById("trouble");
  if (knocking) return;
  trouble.replaceChildren(h("p", { class: "warning" }, "The server cannot be reached. This page goes on as soon as it is back."));
  const knock = async () => {
    try {
      if ((await fetch("/readyz", { cache: "no-store" })).ok) {
        clearInterval(knocking);
        knocking = 0;
        trouble.replaceChildren();
        galleryFacts({ again: true }).catch(() => {});
        return;
      }
    } catch {
      // not yet
    }
  };
  knocking = setInterval(knock, KNOCK_MS);
});

onSignIn(askToken);
tellSignedIn();
listen(() => { if (VIEWS[location.hash.replace(/^#\/?/, "").split("?")[0]] !== recognizeView) location.hash = "#/"; });
window.addEventListener("hashchange", () => { if (location.hash !== "#main") show(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
show({ focus: false });
