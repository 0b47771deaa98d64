// Is the certificate gone? A picture over https at the check host loads only while it is trusted; one over http at the
// site's own name tells "not trusted" from "proxy not reached". Neither needs the proxy's password.

const note = document.getElementById("gone");

function loads(address) {
  return new Promise((ended) => {
    const picture = new Image();
    picture.onload = () => ended(true);
    picture.onerror = () => ended(false);
    picture.src = `${address}/seen/${note.dataset.token}.svg?${Date.now()}`;
  });
}

async function ask() {
  const { site, check, gone, there, unknown } = note.dataset;
  const trusted = await loads(`https://${check}`);
  const reached = trusted || (await loads(`http://${site}`));
  note.textContent = trusted ? there : reached ? gone : unknown;
  note.classList.toggle("good", reached && !trusted);
  note.classList.toggle("attention", trusted || !reached);
}

if (note) {
  document.querySelectorAll(".script-only").forEach((element) => (element.hidden = false));
  document.getElementById("ask-again").addEventListener("click", ask);
  ask();
}
