// Plays the page's video with the player that the page has loaded: hls.js or dash.js, which choose among renditions.
// `make players` brings them; without one the page plays one rendition by itself, and never switches.
import { feed } from "./playlist.js";

const video = document.querySelector("video");
const failed = () => video.dispatchEvent(new Event("error"));

if (window.Hls) {
  const player = new window.Hls({ enableWorker: false }); // a worker would be a script from nowhere to the page's policy
  player.on(window.Hls.Events.ERROR, (_, { fatal }) => fatal && failed());
  player.loadSource("video/master.m3u8");
  player.attachMedia(video);
} else if (window.dashjs) {
  const player = window.dashjs.MediaPlayer().create();
  player.on(window.dashjs.MediaPlayer.events.ERROR, failed);
  player.initialize(video, "video/stream.mpd", false);
} else {
  feed(video).catch(failed);
}
video.play().catch((error) => console.warn("video:", error));
