"use strict";

/* What is shown: one query pixel at a time. `chosen` stays, `seen` follows the pointer of a mouse. */

const HEAT = 0.6, MASK = 0.6; // opacity of affinity and of predictions over the image
const byId = (id) => document.getElementById(id);
const percent = (part) => `${Math.round(100 * part)} %`;
const page = { data: null, images: [], directions: [], direction: 0, chosen: null };

/* All that is known of query pixel `seen`, {row, column} of the grid that the affinity is kept on. */
function lookUp(seen) {
  const { data } = page, direction = page.directions[page.direction];
  const query = page.images[direction.query], reference = page.images[direction.reference];
  const feature = direction.thinned * seen.row * direction.columns + direction.thinned * seen.column;
  const step = data.query_step * direction.thinned;
  const number = seen.row * direction.shown_columns + seen.column;
  const looks = { cross: direction.cross.weights(number), own: direction.own.weights(number) };
  const size = direction.rows * direction.columns;
  const found = {}, probabilities = {};
  for (const name of PREDICTIONS) {
    found[name] = direction.labels[name][feature];
    probabilities[name] = data.classes.map((_, index) => direction.probabilities[name][index * size + feature] / 255);
  }
  const [row, column] = [step * seen.row, step * seen.column];
  return { direction, query, reference, row, column, looks, found, probabilities, truth: truthAt(query, row, column) };
}

const nameOf = (classId) => (classId === UNLABELLED ? "unlabelled" : page.data.classes[classId]);

/* In words: what the pixel is, and what it looks at. */
function describe(now) {
  const taken = `taken for ${nameOf(now.found.self)} as at test, for ${nameOf(now.found.cross)} with the reference`;
  const truth = now.query.label ? `${nameOf(now.truth)} in the truth, ` : "";
  const parts = [`Row ${now.row}, column ${now.column} of ${now.query.name}: ${truth}${taken}.`];
  for (const [name, image, where] of [["cross", now.reference, `In ${now.reference.name}`], ["own", now.query, "In itself"]]) {
    const weights = now.looks[name], affinity = now.direction[name];
    const strongest = weights.indexOf(Math.max(...weights)), step = page.data.key_step;
    const row = step * Math.floor(strongest / affinity.columns), column = step * (strongest % affinity.columns);
    const falls = image.label ? [...fallsOn(image, affinity, weights, step)] : [];
    const masses = falls.sort((one, other) => other[1][0] - one[1][0]).slice(0, 3).map(
      ([id, [mass, share]]) => `${percent(mass)} on ${nameOf(id)}, which covers ${percent(share)}`
    );
    const on = image.label ? `, ${nameOf(truthAt(image, row, column))}` : "";
    const peak = `the strongest weight is ${weights[strongest].toPrecision(2)}, at row ${row}, column ${column}${on}`;
    parts.push(`${where}: ${[...masses, peak].join("; ")}.`);
  }
  return parts.join(" ");
}

/* A line of a table: a class with its colour, then numbers. */
function tableLine(body, classId, cells, own) {
  const line = body.insertRow(), head = document.createElement("th"), swatch = document.createElement("i");
  line.className = own ? "own" : "";
  head.scope = "row";
  swatch.style.background = classId === UNLABELLED ? "none" : `rgb(${page.data.colours[classId]})`;
  head.append(swatch, nameOf(classId));
  line.append(head);
  for (const cell of cells) line.insertCell().textContent = cell;
}

function fillTables(now) {
  const falls = ["cross", "own"].map((name) =>
    fallsOn(name === "own" ? now.query : now.reference, now.direction[name], now.looks[name], page.data.key_step)
  );
  byId("masses").textContent = byId("probabilities").textContent = "";
  for (const id of [...page.data.classes.keys(), UNLABELLED].filter((id) => falls.some((found) => found.has(id)))) {
    const cells = falls.flatMap((found) => (found.has(id) ? found.get(id).map(percent) : ["–", "–"]));
    tableLine(byId("masses"), id, cells, id === now.truth);
  }
  page.data.classes.forEach((_, id) => {
    const likely = PREDICTIONS.map((name) => now.probabilities[name][id]);
    if (id === now.truth || Math.max(...likely) >= 0.01) {
      tableLine(byId("probabilities"), id, likely.map(percent), id === now.truth);
    }
  });
}

/* The colours of an affinity over an image, with the outline of the pixel's class in the truth. */
function drawAffinity(id, image, affinity, weights, now) {
  const strongest = Math.max(...weights), { heat, key_step: step } = page.data;
  const parts = weights.map((weight) => weight / strongest);
  const large = enlarge(parts, affinity.rows, affinity.columns, step, image.height, image.width);
  const context = put(byId(id), blend(image, HEAT, (pixel) => heat[Math.min(255, Math.floor(256 * large[pixel]))]));
  if (byId("outline").checked && image.label && now.truth !== UNLABELLED) outline(context, image, now.truth);
  return context;
}

/* The colours of a prediction over the query, background left as it is; blended once. */
function drawPrediction(name, now) {
  const { rows, columns, labels, blended } = now.direction, step = page.data.query_step;
  blended[name] = blended[name] || blend(now.query, MASK, (pixel) => {
    const row = Math.min(rows - 1, Math.floor(pixel / now.query.width / step));
    const column = Math.min(columns - 1, Math.floor((pixel % now.query.width) / step));
    const classId = labels[name][row * columns + column];
    return classId ? page.data.colours[classId] : null;
  });
  return put(byId(name), blended[name]);
}

/* Draw and tell everything about a query pixel {row, column}. */
function show(seen) {
  const now = lookUp(seen), canvas = byId("query");
  mark(put(canvas, new ImageData(now.query.pixels, now.query.width, now.query.height)), now.row, now.column);
  drawAffinity("reference", now.reference, now.direction.cross, now.looks.cross, now);
  mark(drawAffinity("own", now.query, now.direction.own, now.looks.own, now), now.row, now.column);
  for (const name of PREDICTIONS) {
    mark(drawPrediction(name, now), now.row, now.column);
    const text = `${nameOf(now.found[name])}, ${percent(now.probabilities[name][now.found[name]])}`;
    byId(`${name}-found`).textContent = text;
    byId(name).setAttribute("aria-label", `Prediction of the query, ${name}; the pixel: ${text}`);
  }
  const told = describe(now);
  if (byId("told").textContent !== told) byId("told").textContent = told;
  canvas.setAttribute("aria-label", `Query ${now.query.name}, row ${now.row}, column ${now.column}`);
  byId("reference").setAttribute("aria-label", `Affinity over the reference ${now.reference.name}`);
  byId("own").setAttribute("aria-label", `Affinity over the query itself, ${now.query.name}`);
  byId("query-name").textContent = now.query.name;
  byId("reference-name").textContent = now.reference.name;
  fillTables(now);
}

/* Choose a pixel, held within the grid. */
function choose(row, column) {
  const { shown_rows: rows, shown_columns: columns } = page.directions[page.direction];
  page.chosen = { row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column)) };
  show(page.chosen);
}

/* The pixel of the grid under a pointer. */
function under(event) {
  const canvas = byId("query"), box = canvas.getBoundingClientRect(), direction = page.directions[page.direction];
  const step = page.data.query_step * direction.thinned;
  const place = (from, side, pixels, count) => Math.max(0, Math.min(count - 1, Math.round(((from / side) * pixels) / step)));
  const row = place(event.clientY - box.top, box.height, canvas.height, direction.shown_rows);
  return { row, column: place(event.clientX - box.left, box.width, canvas.width, direction.shown_columns) };
}

function listen() {
  const canvas = byId("query");
  let held = false, waiting = null;
  const soon = (draw) => { // at most once a frame
    if (waiting === null) requestAnimationFrame(() => { const last = waiting; waiting = null; last(); });
    waiting = draw;
  };
  const chooseUnder = (event) => { const { row, column } = under(event); choose(row, column); };
  canvas.addEventListener("pointerdown", (event) => { held = true; chooseUnder(event); });
  canvas.addEventListener("pointermove", (event) => soon(() => (held ? chooseUnder(event) : show(under(event)))));
  canvas.addEventListener("pointerleave", () => { held = false; soon(() => show(page.chosen)); });
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, () => { held = false; });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 4 : 1, far = 1e6;
    const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step],
      Home: [0, -far], End: [0, far], PageUp: [-far, 0], PageDown: [far, 0] };
    const move = moves[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(page.chosen.row + move[0], page.chosen.column + move[1]);
  });
  byId("outline").addEventListener("change", () => show(page.chosen));
  for (const number of [0, 1]) byId(`direction${number}`).addEventListener("change", () => turn(number));
}

/* Take the other image as the query. */
function turn(number) {
  page.direction = number;
  choose(...page.directions[number].start);
}

async function begin() {
  page.data = JSON.parse(byId("data").textContent);
  page.images = await Promise.all(page.data.images.map(openImage));
  page.directions = await Promise.all(page.data.directions.map(openDirection));
  document.title = `${page.data.images.map((image) => image.name).join(" and ")}: what a pixel looks at`;
  page.data.images.forEach((image, number) => { byId(`name${number}`).textContent = image.name; });
  const labelled = page.images.every((image) => image.label);
  byId("outlining").hidden = byId("falls").hidden = !labelled;
  byId("grid").textContent = page.data.grid;
  byId("made").textContent = page.data.made;
  const scale = byId("scale").getContext("2d");
  page.data.heat.forEach((colour, x) => { scale.fillStyle = `rgb(${colour})`; scale.fillRect(x, 0, 1, 1); });
  for (const id of page.data.present) {
    const entry = document.createElement("li"), swatch = document.createElement("i");
    swatch.style.background = `rgb(${page.data.colours[id]})`;
    entry.append(swatch, nameOf(id));
    byId("legend").append(entry);
  }
  listen();
  const chosen = byId("direction1").checked ? 1 : 0; // a browser may keep it over a reload
  turn(chosen);
  document.body.dataset.ready = "yes";
}

begin().catch((error) => {
  byId("warning").textContent = `This page cannot be drawn here (${error.message}); it needs a browser of 2023 or newer.`;
  byId("warning").hidden = false;
});
