// What every page does by itself: times in the viewer's zone, and the state of the connection.
"use strict";
(() => {
  const body = document.body;
  const language = document.documentElement.lang;
  const region = language === "en" ? "en-GB" : language; // day before month, and 24 hours
  const moment = new Intl.DateTimeFormat(region, {
    year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
  const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "short" });

  function ago(at) {
    const seconds = (at - Date.now()) / 1000;
    const size = Math.abs(seconds);
    if (size < 1) return body.dataset.now;
    const [unit, name] = steps.find(([length]) => size >= length);
    return relative.format(Math.trunc(seconds / unit), name);
  }

  function tell(root) {
    for (const time of root.querySelectorAll("time[data-form]")) {
      const at = new Date(time.dateTime);
      const words = time.dataset.form === "ago" ? ago(at.getTime()) : moment.format(at);
      if (time.textContent !== words) time.textContent = words;
      if (!time.title) time.title = moment.format(at);
    }
  }

  tell(document);
  setInterval(() => tell(document), 1000);

  // on a narrow screen the pages' names scroll: the one that is shown is seen
  const bar = document.querySelector(".top nav");
  const shown = bar?.querySelector("[aria-current]");
  if (shown) bar.scrollLeft = shown.offsetLeft - (bar.clientWidth - shown.offsetWidth) / 2;

  const connection = document.getElementById("connection");
  const live = document.getElementById("live");
  if (!connection || !live) return;
  const SILENT_MS = 12000; // the stream says something every five seconds
  let heard = Date.now();

  function say(state) {
    if (connection.dataset.state === state) return;
    connection.dataset.state = state;
    connection.querySelector(".what").textContent = connection.dataset[state];
  }

  function hear(state) {
    heard = Date.now();
    say(state);
  }

  live.addEventListener("well", () => hear("well"));
  live.addEventListener("problem", () => hear("problem"));
  live.addEventListener("gone", () => location.reload());
  live.addEventListener("htmx:sse:error", (event) => {
    if (event.detail && event.detail.status === 401) location.reload();
    say("lost");
  });
  document.addEventListener("htmx:sse:after:message", () => tell(live));
  setInterval(() => { if (Date.now() - heard > SILENT_MS) say("lost"); }, 1000);
})();
