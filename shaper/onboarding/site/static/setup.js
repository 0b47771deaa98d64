// The live check list: ask for the pictures that prove each step, then ask the site what it has seen. The protocol only
// this browser knows: it is the one by which a text of the study's own site arrived.

const list = document.getElementById("checks");
const { site, check, token, opens, url, done, lab } = list.dataset;
const EVERY = 2000; // milliseconds
const NAMES = { "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" };
const items = [...list.querySelectorAll("li")];
let round = 0;

function prove(address) {
  return new Promise((ended) => {
    const picture = new Image();
    picture.onload = picture.onerror = ended;
    picture.src = `${address}/seen/${token}.svg?${Date.now()}-${round}`;
  });
}

async function agreed() {
  const address = `${lab}?once=${Date.now()}-${round}`;
  const answer = await fetch(address, { cache: "no-store", credentials: "omit" });
  await answer.text();
  return NAMES[performance.getEntriesByName(address).at(-1)?.nextHopProtocol] ?? "";
}

function turn(name, found = "") {
  const item = items.find((one) => one.dataset.name === name && !one.classList.contains("green"));
  if (!item) return;
  item.classList.add("green");
  item.querySelector(".state").textContent = done;
  if (found) item.querySelector(".found").textContent = ": " + found;
}

async function look() {
  round += 1;
  const proofs = [prove(`http://${site}`), prove(`http://${check}`)];
  if (opens) proofs.push(prove(`https://${check}`));
  await Promise.race([Promise.allSettled(proofs), new Promise((ended) => setTimeout(ended, EVERY))]);
  const seen = await (await fetch(url)).json();
  for (const name of Object.keys(seen)) if (seen[name]) turn(name);
  if (opens && lab && seen.trusted) turn("protocol", await agreed());
  const all = items.every((item) => item.classList.contains("green"));
  document.getElementById("all-set").hidden = !all;
  return all;
}

async function watch() {
  const all = await look().catch(() => false); // the site may be away for a moment
  if (!all) setTimeout(watch, EVERY);
}

document.querySelectorAll(".script-only").forEach((element) => (element.hidden = false));
watch();
