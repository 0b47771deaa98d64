// Runs in every page that is measured, before the page's own scripts. Times are seconds since navigation began.
(() => {
  const seconds = (milliseconds) => milliseconds / 1000;
  const orNull = (milliseconds) => (milliseconds ? seconds(milliseconds) : null);

  performance.setResourceTimingBufferSize(10000); // 250 by default
  let lcp = null;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) lcp = seconds(entry.startTime);
  }).observe({ type: "largest-contentful-paint", buffered: true });

  // A video joins when it first plays, and rebuffers while it waits after that.
  const videos = new Map();
  let switches = 0;
  const watch = (video) => {
    if (videos.has(video)) return;
    const seen = { join: null, waits: 0, since: null, ended: false };
    videos.set(video, seen);
    video.addEventListener("playing", () => {
      const now = seconds(performance.now());
      if (seen.join === null) seen.join = now;
      else if (seen.since !== null) seen.waits += now - seen.since;
      seen.since = null;
    });
    video.addEventListener("waiting", () => {
      if (seen.join !== null && seen.since === null) seen.since = seconds(performance.now());
    });
    for (const end of ["ended", "error"]) video.addEventListener(end, () => { seen.ended = true; });
    let height = 0; // another height is another rendition
    video.addEventListener("resize", () => {
      if (height && video.videoHeight !== height) switches += 1;
      height = video.videoHeight;
    });
  };
  new MutationObserver(() => document.querySelectorAll("video").forEach(watch))
    .observe(document, { childList: true, subtree: true });

  const endOf = (image) => {
    if (!image.complete || !image.naturalWidth) return null;
    const entry = performance.getEntriesByName(image.currentSrc, "resource").at(-1);
    return entry ? seconds(entry.responseEnd) : seconds(performance.now());
  };

  const isVideo = (entry) => entry.initiatorType !== "video" && /\.(m4s|mp4|ts)$/.test(new URL(entry.name).pathname);

  const told = (entry) => ({
    name: new URL(entry.name).pathname.split("/").pop() || "/",
    kind: isVideo(entry) ? "video" : entry.initiatorType,
    start: seconds(entry.startTime),
    response: orNull(entry.responseStart),
    end: orNull(entry.responseEnd),
    size: entry.encodedBodySize,
    protocol: entry.nextHopProtocol,
    timing: entry.serverTiming.map(({ name, duration, description }) => ({ name, duration: seconds(duration), description })),
  });

  window.shaperIsDone = () => document.readyState === "complete"
    && [...document.images].every((image) => image.complete)
    && [...videos.values()].every((seen) => seen.ended);

  window.shaperSees = () => {
    const now = seconds(performance.now());
    const [navigation] = performance.getEntriesByType("navigation");
    const joins = [...videos.values()].map((seen) => seen.join).filter((join) => join !== null);
    const waits = [...videos.values()].map((seen) => seen.waits + (seen.since === null ? 0 : now - seen.since));
    return {
      now, lcp, switches: videos.size ? switches : null,
      load: orNull(navigation.loadEventEnd),
      interactive: orNull(navigation.domContentLoadedEventEnd),
      join: joins.length && joins.length === videos.size ? Math.max(...joins) : null,
      rebuffer: joins.length ? waits.reduce((sum, wait) => sum + wait, 0) : null,
      images: [...document.images].map(endOf),
      resources: [navigation, ...performance.getEntriesByType("resource")].map(told),
    };
  };
})();
