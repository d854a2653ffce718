// Has a receipt verified by a worker of this page, and says of each check what came of it.
"use strict";
(() => {
  const section = document.getElementById("verify");
  if (!section || !window.Worker) return;
  const words = section.dataset;
  const OURS = /^\/static\/[0-9a-f]{16}\/verifier\.js$/;
  const LINES = { "log-signer": "log-path", "log-signature": "log-path", root: "format" };
  const WAIT_MS = 30000;
  const button = section.querySelector("button");
  const own = document.getElementById("own-root");
  const told = section.querySelector(".proof");
  const policy = window.trustedTypes
    ? trustedTypes.createPolicy("verifier", { createScriptURL: only })
    : { createScriptURL: only };
  section.hidden = false;

  function only(address) {
    if (!OURS.test(address)) throw new TypeError("a worker of this console alone");
    return address;
  }

  async function text(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(address);
    return answer.text();
  }

  function ask(receipt, root) {
    const worker = new Worker(policy.createScriptURL(words.worker));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("no answer")), WAIT_MS);
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = () => reject(new Error("no worker"));
      worker.postMessage({ receipt, root });
      worker.addEventListener("message", () => clearTimeout(late));
    }).finally(() => worker.terminate());
  }

  function show(answer) {
    const failed = LINES[answer.check] || answer.check;
    for (const line of section.querySelectorAll("[data-check]")) {
      const check = line.dataset.check;
      let state = "unasked";
      if (answer.passed.includes(check)) state = "held";
      else if (check === failed) state = answer.state === "pending" ? "open" : "failed";
      line.dataset.state = state;
      line.querySelector(".what").textContent = words[state];
    }
    told.className = `proof p-${answer.state}`;
    told.textContent = answer.text ? `${words[answer.state]} ${answer.check}: ${answer.text}` : words[answer.state];
    told.hidden = false;
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const root = own.files.length ? await own.files[0].text() : await text(words.root);
      show(await ask(await text(words.receipt), root));
    } catch {
      show({ state: "refused", check: "", text: words.away, passed: [] });
    }
    button.disabled = false;
  });
})();
