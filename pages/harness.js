// The page only watches: the job runs in one worker, heartbeats come from another, so that neither a
// busy job nor a throttled tab can silence them.
const fragment = new URLSearchParams(location.hash.slice(1));
const attempt = fragment.get("attempt");
const token = fragment.get("token");
// The token must not stay in the address bar, in history or in screenshots.
history.replaceState(null, "", location.pathname);

const element = (id) => document.getElementById(id);

function log(text, kind) {
  const line = document.createElement("li");
  line.textContent = text;
  if (kind) line.className = kind;
  element("log").append(line);
}

function show(update) {
  if (update.title) element("title").textContent = document.title = update.title;
  if (update.stage) element("stage").textContent = update.stage;
  if (update.fraction !== undefined) element("progress").value = update.fraction;
  if (update.log) log(update.log, update.kind);
}

if (!attempt || !token) {
  show({ stage: "No job: this page is opened by webmatrix, with an attempt and its token.", fraction: 0 });
} else {
  const start = { attempt, token, started: performance.timeOrigin };
  const heart = new Worker("heartbeat.js");
  heart.postMessage(start);
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => {
    show(data);
    if (data.finished) heart.terminate();
  };
  worker.onerror = (event) => {
    show({ stage: "The worker failed", log: event.message || "the worker could not be loaded", kind: "error" });
  };
  worker.postMessage(start);
}
