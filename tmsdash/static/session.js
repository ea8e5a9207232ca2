/* Clears a page once its session is over, so that nobody passing by can read it. What was typed is kept. */
"use strict";
{
  const { signIn, idleS } = document.currentScript.dataset;
  const LOOK_EVERY_MS = 10_000; // at the clock
  const ASK_EVERY_MS = 60_000; // the server

  /* The sign-in page redirects anybody who is signed in. With this header the question keeps no session alive. */
  async function isOver() {
    try {
      const answer = await fetch(signIn, { headers: { "HX-Request": "true" }, redirect: "manual", cache: "no-store" });
      return answer.type !== "opaqueredirect";
    } catch {
      return true; // nobody can tell, and this page has been idle for as long as a session lasts
    }
  }

  function element(name, properties, ...children) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  }

  function withoutTokens(text) { // a token in the wrong field must not stay readable
    const isToken = (line) => line.includes("eyJ") && line.split(".").length > 2;
    return text.split("\n").map((line) => (isToken(line) ? "[token removed]" : line)).join("\n");
  }

  function empty() {
    const filledIn = [...document.querySelectorAll("textarea")].filter((field) => field.value.trim());
    const kept = filledIn.map((field) => {
      const copy = element("textarea", { rows: 12, readOnly: true, value: withoutTokens(field.value) });
      return element("p", {}, element("label", { textContent: "What you typed. Copy it before you go on: " }, copy));
    });
    const back = `${signIn}?next=${encodeURIComponent(location.pathname + location.search)}`;
    document.title = "Signed out · TMS Dashboard";
    document.body.replaceChildren(
      element("main", { className: "width" },
        element("h1", { textContent: "Your session has ended" }),
        ...kept,
        element("p", {}, element("a", { href: back, textContent: "Sign in again" }))));
  }

  // Compares times instead of using one long timer, because timers stop while a computer sleeps.
  let askAt = Date.now() + (Number(idleS) + 1) * 1000;
  const timer = setInterval(async () => {
    if (Date.now() < askAt) return;
    askAt = Date.now() + ASK_EVERY_MS;
    if (!(await isOver())) return;
    clearInterval(timer);
    empty();
  }, LOOK_EVERY_MS);
}
