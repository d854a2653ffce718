// Security keys (WebAuthn): signing in, showing a second factor again, adding a key.
"use strict";
(() => {
  const problem = document.getElementById("key-problem");
  const ways = {
    signin: { begin: "/signin/key/begin", end: "/signin/key" },
    factor: { begin: "/me/key/begin" },
    add: { begin: "/me/key/begin", end: "/me/key/add" },
  };

  async function ask(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(path);
    return answer.json();
  }

  async function use(button) {
    const how = button.dataset.key;
    const name = document.getElementById("operator");
    if (how === "signin" && !name.value) {
      problem.textContent = problem.dataset.name;
      name.focus();
      return;
    }
    problem.textContent = "";
    try {
      const begun = await ask(ways[how].begin, { operator: name ? name.value : "", add: how === "add" });
      const options = begun.options.publicKey || begun.options;
      const credential = how === "add"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      const response = credential.toJSON();
      if (how === "factor") {
        const form = document.getElementById("factor");
        form.elements.factor_state.value = begun.state;
        form.elements.factor_response.value = JSON.stringify(response);
        form.requestSubmit();
        return;
      }
      const label = document.getElementById("label");
      const done = await ask(ways[how].end, {
        state: begun.state, response, next: button.dataset.next || "/", label: label ? label.value : "",
      });
      location.assign(done.next);
    } catch (error) {
      problem.textContent = problem.dataset.none;
    }
  }

  for (const button of document.querySelectorAll("button[data-key]")) {
    button.addEventListener("click", () => use(button));
  }
})();
