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
  live.innerHTML = text;
  localise();
}

document.querySelectorAll(".script-only").forEach((element) => (element.hidden = false));
localise();
setInterval(() => look().catch(() => {}), EVERY);
