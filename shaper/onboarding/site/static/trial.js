// The test: load the same pieces under each arm, in random order, and show what took how long.
// Results stay in this browser's own storage; nothing of them is sent.

const box = document.getElementById("trial");
const { study, policy, url, token, unit } = box.dataset;
const arms = JSON.parse(box.dataset.arms);
const pieces = JSON.parse(box.dataset.pieces);
const words = JSON.parse(box.dataset.words);
const runs = document.getElementById("runs");
const start = document.getElementById("start");
const status = document.getElementById("status");
const shelf = "shaper-tests-" + study;
const KEPT = 20; // earlier results

const digits = (value) => {
  const count = value < 10 ? 2 : value < 100 ? 1 : 0;
  return { minimumFractionDigits: count, maximumFractionDigits: count };
};
const number = (value) =>
  new Intl.NumberFormat(document.documentElement.lang, digits(value)).format(value);
const seconds = (value) => (value === null || value === undefined ? "–" : unit.replace("{n}", number(value)));
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

function make(tag, text, parent, kind) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  parent.append(element);
  return element;
}

function row(piece, list) {
  const item = make("li", "", list);
  make("span", piece.label + ", " + piece.size_label, item, "label");
  const bar = make("progress", "", item);
  bar.max = piece.size;
  bar.value = 0;
  bar.setAttribute("aria-label", piece.label);
  return { item, bar, time: make("span", words.waiting, item, "time") };
}

async function load(piece, { item, bar, time }) {
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  try {
    const address = new URL(piece.url);
    address.searchParams.set("once", crypto.getRandomValues(new Uint32Array(2)).join("-"));
    const response = await fetch(address, { cache: "no-store", credentials: "omit" });
    if (!response.ok) throw new Error(response.statusText);
    const parts = [];
    const reader = response.body.getReader();
    let first = null;
    let size = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      first ??= passed();
      size += read.value.length;
      parts.push(read.value);
      bar.value = size;
      time.textContent = seconds(passed());
    }
    const took = passed();
    time.textContent = seconds(took);
    bar.value = bar.max;
    if (piece.kind === "photo") {
      const picture = make("img", "", item);
      picture.alt = "";
      picture.src = URL.createObjectURL(new Blob(parts, { type: response.headers.get("content-type") }));
    }
    return { kind: piece.kind, label: piece.label, size, first_byte: first, seconds: took };
  } catch {
    time.textContent = words.failed;
    return { kind: piece.kind, label: piece.label, size: 0, first_byte: null, seconds: null };
  }
}

function compare(done) {
  // What was a share of the bytes becomes a share of the longest time, so that the arms can be compared at a glance.
  const times = done.flatMap((run) => run.pieces.map((piece) => piece.seconds ?? 0));
  [...runs.querySelectorAll("progress")].forEach((bar, index) => {
    bar.max = Math.max(...times);
    bar.value = times[index];
  });
}

async function hold(arm, more = {}) {
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams({ token, arm: arm.arm, ...more }) });
  if (!answer.ok) throw new Error("refused");
}

async function under(arm) {
  const card = make("section", "", runs);
  make("h2", arm.label, card);
  make("p", arm.slowed.join("; ") || words.nothing_slowed, card, "small");
  const list = make("ul", "", card, "bars");
  const rows = pieces.map((piece) => row(piece, list));
  await hold(arm);
  const results = [];
  for (const [index, piece] of pieces.entries()) results.push(await load(piece, rows[index])); // one by one: no piece slows another
  return { arm: arm.arm, label: arm.label, pieces: results };
}

function earlier() {
  try {
    return JSON.parse(localStorage.getItem(shelf)) ?? [];
  } catch {
    return [];
  }
}

function shuffled(list) {
  const keyed = list.map((value) => [crypto.getRandomValues(new Uint32Array(1))[0], value]);
  return keyed.sort((a, b) => a[0] - b[0]).map(([, value]) => value);
}

const media = (run) => run.pieces.filter((piece) => piece.kind !== "text").reduce((sum, piece) => sum + piece.seconds, 0);
const text = (run) => run.pieces.filter((piece) => piece.kind === "text").reduce((sum, piece) => sum + piece.seconds, 0);

function verdict(done) {
  if (done.some((run) => run.pieces.some((piece) => piece.seconds === null))) return words.problem;
  if (done.length < 2) return words.same;
  const [base, ...others] = [...done].sort((a, b) => media(a) - media(b));
  const slow = others.at(-1);
  return fill(words.ratio, {
    arm: slow.label,
    base: base.label,
    n: number(media(slow) / media(base)),
    media: seconds(media(slow)),
    media_base: seconds(media(base)),
    text: seconds(text(slow)),
    text_base: seconds(text(base)),
  });
}

function show(result, before) {
  const table = document.getElementById("table");
  table.replaceChildren();
  const head = make("tr", "", make("thead", "", table));
  const done = arms.map((arm) => result.runs.find((run) => run.arm === arm.arm));
  make("th", words.what, head).scope = "col";
  for (const run of done) {
    make("th", run.label, head).scope = "col";
    if (before.length) make("th", fill(words.earlier, { arm: run.label }), head).scope = "col";
  }
  const body = make("tbody", "", table);
  pieces.forEach((piece, index) => {
    const line = make("tr", "", body);
    make("th", piece.label, line).scope = "row";
    for (const run of done) {
      make("td", seconds(run.pieces[index].seconds), line);
      const past = before
        .map((old) => old.runs.find((other) => other.arm === run.arm)?.pieces[index]?.seconds)
        .filter((value) => typeof value === "number");
      if (before.length) make("td", past.length ? seconds(median(past)) : "–", line);
    }
  });
  document.getElementById("ratio").textContent = verdict(done);
  const file = new Blob([JSON.stringify({ ...result, earlier: before }, null, 1)], { type: "application/json" });
  document.getElementById("download").href = URL.createObjectURL(file);
  document.getElementById("result").hidden = false;
}

start.addEventListener("click", async () => {
  start.disabled = true;
  runs.replaceChildren();
  document.getElementById("result").hidden = true;
  const result = { schema: "shaper.volunteer-test/1", study, policy, time: new Date().toISOString(), runs: [] };
  try {
    const order = shuffled(arms);
    for (const arm of order) {
      status.textContent = fill(words.running, { arm: arm.label });
      result.runs.push(await under(arm));
    }
    await hold(order.at(-1), { over: "yes" });
    compare(result.runs);
    const before = earlier();
    show(result, before);
    localStorage.setItem(shelf, JSON.stringify([...before, result].slice(-KEPT)));
    status.textContent = words.finished;
    start.textContent = words.again;
  } catch {
    status.textContent = words.refused;
  }
  start.disabled = false;
});

document.getElementById("forget").addEventListener("click", () => {
  localStorage.removeItem(shelf);
  status.textContent = words.forgotten;
});

box.hidden = false;
