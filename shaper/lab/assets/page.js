// Fills in the text, plays the videos, and shows how each resource arrived. Leaves marks for whoever measures the page:
// text-ready, pictures-complete, file-playing, playlist-playing.
import { feed } from "./playlist.js";

const SLOW = 500; // milliseconds
const TELLING = 10000; // bytes: below that, a rate is mostly the round trip

document.querySelector("#host").textContent = location.host;

const facts = await (await fetch("facts.json")).json();
for (const [name, text] of Object.entries(facts)) {
  const entry = document.createElement("div");
  entry.append(Object.assign(document.createElement("dt"), { textContent: name }));
  entry.append(Object.assign(document.createElement("dd"), { textContent: text }));
  document.querySelector("#facts").append(entry);
}
performance.mark("text-ready");

const rows = new Map();
const seconds = (time) => `${(time / 1000).toFixed(2)} s`;

function show(entry) {
  const { pathname } = new URL(entry.name);
  const row = rows.get(entry.name) ?? document.querySelector("#rows").insertRow();
  rows.set(entry.name, row);
  row.className = entry.duration > SLOW ? "slow" : "fast";
  const kbits = (entry.encodedBodySize * 8) / entry.duration; // kbit/s
  const rate = kbits < 1000 ? `${kbits.toFixed(0)} kbit/s` : `${(kbits / 1000).toFixed(1)} Mbit/s`;
  const bar = Object.assign(document.createElement("meter"), { max: 10000, value: entry.duration });
  bar.setAttribute("aria-hidden", "true");
  row.replaceChildren();
  const size = `${(entry.encodedBodySize / 1000).toFixed(1)} kB`;
  for (const text of [pathname, size, seconds(entry.duration), entry.encodedBodySize < TELLING ? "" : rate])
    row.insertCell().textContent = text;
  row.insertCell().append(bar);
}
new PerformanceObserver((list) => list.getEntries().forEach(show)).observe({ type: "resource", buffered: true });

function note(media, time) {
  const caption = media.closest("figure").querySelector("figcaption");
  caption.append(Object.assign(document.createElement("output"), { textContent: seconds(time) }));
}

const complete = [...document.images].map(async (image) => {
  await image.decode().catch(() => {});
  note(image, performance.now());
});
Promise.all(complete).then(() => performance.mark("pictures-complete"));

for (const video of document.querySelectorAll("video")) {
  video.addEventListener("playing", () => {
    performance.mark(`${video.id}-playing`);
    note(video, performance.now());
  }, { once: true });
  if (video.dataset.playlist) feed(video).catch((error) => console.warn("playlist:", error));
  video.play().catch((error) => console.warn(`${video.id}:`, error)); // not autoplay: that waits for a look at the video
}
