// Pictures: those of the server as elements, and files of people made fit to send.

import { Fault, pictureAddress } from "./api.js";
import { h } from "./dom.js";
import { sized } from "./words.js";

const SENT_AS_THEY_ARE = /^image\/(jpeg|png|webp|gif|bmp|tiff)$/;
const ENDINGS = /\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif)$/i;
const SIDES = [4096, 2560, 1600];
const QUALITY = 0.9;

/** Return an image element of a picture of the server; a word in its place where it is missing. */
export function pictureOf(path, alt, props = {}) {
  const image = h("img", { alt, loading: "lazy", decoding: "async", class: "photo", ...props });
  image.addEventListener("error", () => {
    image.replaceWith(h("span", { class: "photo absent", role: "img", "aria-label": `${alt}: not at hand` }, "not at hand"));
  }, { once: true });
  pictureAddress(path).then((address) => {
    image.src = address;
    if (address !== path) image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  }, () => image.dispatchEvent(new Event("error")));
  return image;
}

/** Return the address of a small picture of a gallery image, by its id. */
export function thumbnailOf(imageId, size = 320) {
  return `/v1/images/${encodeURIComponent(imageId)}/thumbnail?size=${size}`;
}

/** Say whether a file might be a photograph, by its type or its name. */
export function mayBePhoto(file) {
  return file.type.startsWith("image/") || (!file.type && ENDINGS.test(file.name)) || ENDINGS.test(file.name);
}

/**
 * Return a file that the server takes, and a note where it is not the one that was given.
 *
 * Photographs are sent as they are, unless they are larger than the server allows or of a kind that
 * it does not read and the browser does; these are drawn and written as JPEG.
 */
export async function fit(file, maxBytes) {
  if (!file.size) throw new Fault({ what: "the file is empty", todo: "Choose another one.", status: 422 });
  const isLarge = file.size > maxBytes;
  if (!isLarge && (SENT_AS_THEY_ARE.test(file.type) || !file.type.startsWith("image/"))) {
    return { file, note: "" };
  }
  let drawn = null;
  try {
    drawn = await shrink(file, maxBytes);
  } catch {
    if (!isLarge) return { file, note: "" }; // the server says what it is
    throw new Fault({
      what: `the file is ${sized(file.size)}, more than the ${sized(maxBytes)} that the server takes`,
      todo: "The browser cannot make it smaller, as it is no picture that it can read. Choose another file, or save this one smaller.",
      status: 413,
    });
  }
  const why = isLarge ? `${sized(file.size)} is more than the server takes` : `${file.type.slice(6).toUpperCase()} is not read by the server`;
  return { file: drawn, note: `Sent as a JPEG of ${sized(drawn.size)}: ${why}.` };
}

/** Return a photograph as a JPEG that is no larger than allowed. */
export async function shrink(file, maxBytes, sides = SIDES) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  try {
    for (const side of sides) {
      const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
      const canvas = h("canvas");
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      const context = canvas.getContext("2d");
      context.fillStyle = "white"; // where the picture is transparent
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
      if (blob && blob.size <= maxBytes) {
        return new File([blob], file.name.replace(/\.\w+$/, "") + ".jpg", { type: "image/jpeg" });
      }
    }
  } finally {
    bitmap.close();
  }
  throw new Error("too large at any size");
}
