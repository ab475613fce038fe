"use strict";

/* Reads the data of the page, and draws pictures of them on canvases. */

const PREDICTIONS = ["raw", "self", "cross"];
const UNLABELLED = 255;
const RING = [[1, "#ffffff"], [0, "#e60000"]]; // a white casing, then red

/* Bytes of a base64 text, packed by zlib. */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Pixels of an image of the data, RGBA; label: class indices, or null without a truth. */
async function openImage(entry) {
  const picture = new Image();
  picture.src = entry.picture;
  await picture.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [entry.width, entry.height];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, entry.width, entry.height).data;
  return { ...entry, pixels, label: entry.label && (await unpack(entry.label)) };
}

/* An affinity of the data: weights of one query pixel, (rows x columns) numbers that sum to 1. */
async function openAffinity(entry) {
  const roots = await unpack(entry.roots), count = entry.rows * entry.columns;
  const strongest = new Float32Array((await unpack(entry.strongest)).buffer);
  const weights = (query) =>
    Float64Array.from(roots.subarray(query * count, (query + 1) * count), (root) => strongest[query] * (root / 255) ** 2);
  return { ...entry, weights };
}

async function openDirection(entry) {
  const opened = { ...entry, labels: {}, probabilities: {}, blended: {} };
  for (const name of ["own", "cross"]) opened[name] = await openAffinity(entry[name]);
  for (const name of PREDICTIONS) {
    opened.labels[name] = await unpack(entry.labels[name]);
    opened.probabilities[name] = await unpack(entry.probabilities[name]);
  }
  return opened;
}

/* Class of the truth at (row, column) of an image, in pixels; points in the padding have none. */
function truthAt(image, row, column) {
  if (!image.label || row >= image.height || column >= image.width) return UNLABELLED;
  return image.label[row * image.width + column];
}

/* Values (rows x columns), `step` pixels apart from the first on, at every pixel: bilinear, the edge continued. */
function enlarge(values, rows, columns, step, height, width) {
  const large = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    const row = Math.min(y / step, rows - 1), top = Math.floor(row), bottom = Math.min(top + 1, rows - 1);
    for (let x = 0; x < width; x++) {
      const column = Math.min(x / step, columns - 1), left = Math.floor(column), right = Math.min(left + 1, columns - 1);
      const upper = values[top * columns + left] * (1 - column + left) + values[top * columns + right] * (column - left);
      const lower = values[bottom * columns + left] * (1 - column + left) + values[bottom * columns + right] * (column - left);
      large[y * width + x] = upper * (1 - row + top) + lower * (row - top);
    }
  }
  return large;
}

/* An image, each pixel blended with colourOf(its number): [red, green, blue], or null to leave it. */
function blend(image, opacity, colourOf) {
  const drawn = new ImageData(new Uint8ClampedArray(image.pixels), image.width, image.height), { data } = drawn;
  for (let pixel = 0, place = 0; place < data.length; pixel++, place += 4) {
    const colour = colourOf(pixel);
    if (colour === null) continue;
    for (let channel = 0; channel < 3; channel++) { // which rounds, to even at a half as numpy does
      data[place + channel] = data[place + channel] * (1 - opacity) + colour[channel] * opacity;
    }
  }
  return drawn;
}

/* Show a blended image on a canvas; the canvas's context. */
function put(canvas, drawn) {
  if (canvas.width !== drawn.width || canvas.height !== drawn.height) {
    [canvas.width, canvas.height] = [drawn.width, drawn.height];
  }
  const context = canvas.getContext("2d");
  context.putImageData(drawn, 0, 0);
  return context;
}

/* A ring around a pixel and a dot on it. */
function mark(context, row, column) {
  const radius = Math.max(4, Math.max(context.canvas.width, context.canvas.height) / 28), line = Math.max(1.5, radius / 4);
  for (const [extra, colour] of RING) {
    context.lineWidth = line + 2 * extra;
    context.strokeStyle = context.fillStyle = colour;
    for (const [size, draw] of [[radius, "stroke"], [line / 2 + extra, "fill"]]) {
      context.beginPath();
      context.arc(column + 0.5, row + 0.5, size, 0, 2 * Math.PI);
      context[draw]();
    }
  }
}

/* The border of a class in the truth of an image, as a path that is kept. */
function border(image, classId) {
  image.borders = image.borders || new Map();
  if (image.borders.has(classId)) return image.borders.get(classId);
  const path = new Path2D(), { width, height, label } = image;
  for (let pixel = 0; pixel < width * height; pixel++) {
    const x = pixel % width, y = Math.floor(pixel / width), inside = label[pixel] === classId;
    if (x > 0 && inside !== (label[pixel - 1] === classId)) {
      path.moveTo(x, y);
      path.lineTo(x, y + 1);
    }
    if (y > 0 && inside !== (label[pixel - width] === classId)) {
      path.moveTo(x, y);
      path.lineTo(x + 1, y);
    }
  }
  image.borders.set(classId, path);
  return path;
}

/* A light line with a dark casing along the border of a class. */
function outline(context, image, classId) {
  const unit = Math.max(1, Math.max(image.width, image.height) / 250); // the picture is as wide as the page has room
  context.lineCap = "square";
  for (const [width, colour] of [[3, "#000000"], [1.2, "#ffffff"]]) {
    [context.lineWidth, context.strokeStyle] = [width * unit, colour];
    context.stroke(border(image, classId));
  }
}

/* {class: [part of the weights on it, part of the keys that it covers]} by the truth, UNLABELLED where it has no class. */
function fallsOn(image, affinity, weights, step) {
  const found = new Map(), total = weights.reduce((sum, weight) => sum + weight, 0);
  weights.forEach((weight, key) => {
    const classId = truthAt(image, step * Math.floor(key / affinity.columns), step * (key % affinity.columns));
    const [mass, share] = found.get(classId) || [0, 0];
    found.set(classId, [mass + weight / total, share + 1 / weights.length]);
  });
  return found;
}
