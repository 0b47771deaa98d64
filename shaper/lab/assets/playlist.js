// Feeds a video with one HLS rendition of fMP4 segments through Media Source Extensions, one segment after another.

export async function feed(video) {
  const source = new MediaSource();
  const opened = new Promise((open) => source.addEventListener("sourceopen", open, { once: true }));
  video.src = URL.createObjectURL(source);

  const base = new URL(video.dataset.playlist, location.href);
  const lines = (await (await fetch(base)).text()).split("\n");
  const map = lines.find((line) => line.startsWith("#EXT-X-MAP")).match(/URI="(.+)"/)[1];
  const segments = [map, ...lines.filter((line) => line && !line.startsWith("#"))];

  await opened;
  const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.4d4015"');
  for (const segment of segments) {
    buffer.appendBuffer(await (await fetch(new URL(segment, base))).arrayBuffer());
    await new Promise((done) => buffer.addEventListener("updateend", done, { once: true }));
  }
  source.endOfStream();
}
