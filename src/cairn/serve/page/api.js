// Requests to this server: the token, faults in words, uploads with progress.

const KEY = "cairn-token";
const PATIENCE_S = 60; // without a byte up or down
const LONGEST_WAIT_S = 10; // that a busy server may ask for, some times
const MOST_WAITS = 3;
let signIn = null; // what asks people for the token
let asking = null;

/** A request that failed: what is wrong, where, what to do next. */
export class Fault extends Error {
  constructor({ what, where = "", todo = "", status = 0, retryAfter = 0 }) {
    super(what);
    Object.assign(this, { what: what.replace(/\.$/, ""), where, todo, status, retryAfter });
  }
}

/** The token, kept until the browser tab is closed. */
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

/** Say what asks for the token: a function of a message that returns a promise. */
export function onSignIn(ask) {
  signIn = ask;
}

/** Return the JSON of an answer. `body` is sent as JSON. */
export async function call(method, path, body = undefined, { signal } = {}) {
  return withToken(() => once(method, path, body === undefined ? null : JSON.stringify(body), {
    signal, type: body === undefined ? "" : "application/json",
  }));
}

/** Send files as a form; return the JSON of the answer. `onProgress` gets the share that is sent. */
export async function upload(path, files, { fields = {}, signal, onProgress } = {}) {
  const key = anyKey(); // the same for every attempt: a change is made once
  return withToken(() => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    for (const file of files) form.append("image", file, file.name || "photo.jpg");
    return once("POST", path, form, { signal, onProgress, key });
  });
}

/** Return a picture of the server as an address that an image element can show. */
export async function pictureAddress(path) {
  if (!token.get()) return path;
  let answer = await fetch(path, { headers: authorization() });
  for (let waits = 0; answer.status === 429 && waits < MOST_WAITS; waits += 1) {
    await pause(Math.min(LONGEST_WAIT_S, Number(answer.headers.get("Retry-After")) || 1));
    answer = await fetch(path, { headers: authorization() });
  }
  if (!answer.ok) throw new Fault({ what: "the picture is not at hand", status: answer.status });
  return URL.createObjectURL(await answer.blob());
}

function anyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}

function authorization() {
  return token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
}

function pause(seconds) {
  return new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
}

async function withToken(send) {
  let waits = 0;
  for (;;) {
    const used = token.get();
    try {
      return await send();
    } catch (fault) {
      if (fault.status === 429 && fault.retryAfter && fault.retryAfter <= LONGEST_WAIT_S && waits < MOST_WAITS) {
        waits += 1;
        await pause(fault.retryAfter);
        continue;
      }
      if (fault.status !== 401 || !signIn) throw fault;
      if (token.get() !== used) continue; // somebody has signed in meanwhile
      asking ??= signIn(used ? "That token is not known here." : "").finally(() => { asking = null; });
      if (!(await asking)) throw fault;
    }
  }
}

// XMLHttpRequest, because fetch does not tell how much of a body is sent.
function once(method, path, body, { signal, onProgress, type = "", key = "" }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = "text";
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    if (type) request.setRequestHeader("Content-Type", type);
    if (key) request.setRequestHeader("Idempotency-Key", key);
    let timer = 0;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        reject(new Fault({
          what: `the server has not answered for ${PATIENCE_S} seconds`,
          todo: "The network or the server is slow. Try again, or with a smaller photograph.",
        }));
        request.abort();
      }, PATIENCE_S * 1000);
    };
    const end = () => clearTimeout(timer);
    request.upload.onprogress = (event) => {
      alive();
      if (onProgress && event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.upload.onload = () => { if (onProgress) onProgress(1); };
    request.onprogress = alive;
    request.onerror = () => {
      end();
      reject(new Fault({
        what: "the server cannot be reached",
        todo: "Is cairn serve still running, and the network there? Nothing here is lost.",
      }));
      window.dispatchEvent(new Event("cairn-unreachable"));
    };
    request.onabort = () => { end(); reject(new DOMException("stopped", "AbortError")); };
    request.onload = () => { end(); settle(request, resolve, reject); };
    signal?.addEventListener("abort", () => request.abort());
    alive();
    request.send(body);
  });
}

function settle(request, resolve, reject) {
  let read = null;
  try {
    read = JSON.parse(request.responseText);
  } catch {
    read = null;
  }
  if (request.status >= 200 && request.status < 300 && read !== null) {
    resolve(read);
    return;
  }
  reject(new Fault({
    what: read?.what ?? `the server answered ${request.status}, which this page does not understand`,
    where: read?.where ?? "",
    todo: sentence(read?.todo || HINTS[request.status] || ""),
    status: request.status,
    retryAfter: Number(request.getResponseHeader("Retry-After")) || 0,
  }));
}

const HINTS = {
  403: "Sign in with a token that may change the gallery, or ask whoever runs the server.",
  404: "It may have been removed. Load the page again to see the gallery as it is.",
  409: "Load the page again to see the gallery as it is.",
  429: "The server is busy. Try again in a moment.",
  503: "The server is starting, stopping or busy. Try again in a moment.",
};

function sentence(text) {
  if (!text) return "";
  const first = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
