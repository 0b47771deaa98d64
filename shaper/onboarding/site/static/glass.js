// The glass box, live: the part of the page that changes is fetched again, and times are told in local time.

const live = document.getElementById("live");
const EVERY = 3000; // milliseconds

function localise() {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "short", timeStyle: "medium" });
  for (const time of live.querySelectorAll("time")) time.textContent = format.format(new Date(time.dateTime));
}

async function look() {
  if (document.hidden) return;
  const answer = await fetch(live.dataset.url, { redirect: "error" });
  if (!answer.ok) return;
  const text = await answer.text();
  if (text === look.last) return; // nothing new: leave the reader's place alone
  look.last = text;
  const fresh = document.createElement("template");
  fresh.innerHTML = text;
  for (const part of fresh.content.querySelectorAll("[data-part]")) {
    const place = document.querySelector(`main [data-part="${part.dataset.part}"]`);
    if (place.innerHTML !== part.innerHTML) place.innerHTML = part.innerHTML;
  }
  localise();
}

document.querySelectorAll(".script-only").forEach((element) => (element.hidden = false));
localise();
setInterval(() => look().catch(() => {}), EVERY);
