// The live check list: ask for the pictures that prove each step, then ask the site what it has seen.

const list = document.getElementById("checks");
const { site, check, token, opens, url, done } = list.dataset;
const EVERY = 2000; // milliseconds
let round = 0;

function prove(address) {
  return new Promise((ended) => {
    const picture = new Image();
    picture.onload = picture.onerror = ended;
    picture.src = `${address}/seen/${token}.svg?${Date.now()}-${round}`;
  });
}

async function look() {
  round += 1;
  const proofs = [prove(`http://${site}`), prove(`http://${check}`)];
  if (opens) proofs.push(prove(`https://${check}`));
  await Promise.race([Promise.allSettled(proofs), new Promise((ended) => setTimeout(ended, EVERY))]);
  const seen = await (await fetch(url)).json();
  const items = [...list.querySelectorAll("li")];
  for (const item of items) {
    const green = seen[item.dataset.name];
    if (!green || item.classList.contains("green")) continue;
    item.classList.add("green");
    item.querySelector(".state").textContent = done;
    if (item.dataset.name === "protocol") item.querySelector(".found").textContent = ": " + seen.protocol_name;
  }
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
