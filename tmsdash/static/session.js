/* Empties a page whose session is over: what it shows is not for whoever comes by. What somebody typed stays. */
"use strict";
{
  const { signIn, idleS } = document.currentScript.dataset;
  const LOOK_EVERY_MS = 10_000;
  const ASK_EVERY_MS = 60_000;

  /* The page to sign in leads on whoever is signed in. Asked like this, no session is kept alive by the question. */
  async function isOver() {
    try {
      const answer = await fetch(signIn, { headers: { "HX-Request": "true" }, redirect: "manual", cache: "no-store" });
      return answer.type !== "opaqueredirect";
    } catch {
      return true; // nobody can tell, and this page asked for nothing for as long as a session lasts
    }
  }

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function withoutTokens(text) { // a token in the wrong field is no list to be kept
    const isToken = (line) => line.includes("eyJ") && line.split(".").length > 2;
    return text.split("\n").map((line) => (isToken(line) ? "[token removed]" : line)).join("\n");
  }

  function empty() {
    const typed = [...document.querySelectorAll("textarea")].filter((field) => field.value.trim());
    const kept = typed.map((field) => {
      const copy = element("textarea", { rows: 12, readOnly: true, value: withoutTokens(field.value) });
      return element("p", {}, element("label", { textContent: "What you typed; copy it before you go on: " }, copy));
    });
    const back = `${signIn}?next=${encodeURIComponent(location.pathname + location.search)}`;
    document.title = "Signed out · TMS Dashboard";
    document.body.replaceChildren(
      element("main", { className: "width" },
        element("h1", { textContent: "Your session has ended" }),
        ...kept,
        element("p", {}, element("a", { href: back, textContent: "Sign in again" }))));
  }

  // The clock is looked at, since a computer that sleeps stops its timers.
  let askAt = Date.now() + (Number(idleS) + 1) * 1000;
  const timer = setInterval(async () => {
    if (Date.now() < askAt) return;
    askAt = Date.now() + ASK_EVERY_MS;
    if (!(await isOver())) return;
    clearInterval(timer);
    empty();
  }, LOOK_EVERY_MS);
}
