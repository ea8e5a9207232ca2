/* Fields for bearer tokens: a button that shows what was pasted, and what a JSON Web Token says of its own end.

Everything is listened for on the document, because parts of a page are replaced while it is open. No token is kept:
what is read of one stays in the field's own message. */
"use strict";
{
  const SKEW_MS = 60_000; // as far as clocks may differ
  const SOON_MS = 10 * 60_000;
  const LOOK_EVERY_MS = 15_000;
  const FIRST_CALL_S = 18; // what a cluster takes for a call after some minutes of rest, and for the others
  const CALL_S = 2.5;
  const WEB_TOKEN = /eyJ[\w-]*\.[\w-]+\.[\w-]*/;
  const WRAPPED = /\s+/g;

  const loadedAt = performance.now();
  const serverTime = Date.parse(document.documentElement.dataset.now); // this computer's clock may be wrong
  const now = () => serverTime + performance.now() - loadedAt;

  /* When the token in a text expires, in milliseconds since 1970; 0 if that cannot be known. */
  function expiryOf(text) {
    const [token] = text.replace(WRAPPED, "").match(WEB_TOKEN) || [];
    if (!token) return 0;
    try {
      const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
      const { exp } = JSON.parse(atob(payload));
      return Number.isFinite(exp) && exp > 0 ? exp * 1000 : 0;
    } catch {
      return 0;
    }
  }

  function span(ms) {
    const minutes = Math.max(1, Math.round(ms / 60_000));
    for (const [unit, length] of [["day", 24 * 60], ["hour", 60], ["minute", 1]]) {
      const count = Math.floor(minutes / length);
      if (count) return `${count} ${unit}${count > 1 ? "s" : ""}`;
    }
  }

  /* What is to be said of a token, whether that is bad news, and whether it must not be sent. */
  function verdict(expiresAt, rounds) {
    if (!expiresAt) return { words: "", isBad: false, isExpired: false };
    const left = expiresAt - now();
    if (left < -SKEW_MS) return { words: `This token expired ${span(-left)} ago. Get a new one.`, isBad: true, isExpired: true };
    const words = left > 0 ? `This token expires in ${span(left)}` : "This token expires now";
    const neededMs = rounds > 1 ? (FIRST_CALL_S + CALL_S * (rounds - 1)) * 1000 : 0;
    if (neededMs > left) return { words: `${words}; this batch needs about ${span(neededMs)}.`, isBad: true, isExpired: false };
    return { words: `${words}.`, isBad: left < SOON_MS / 10, isExpired: false };
  }

  function show(field, isNew) {
    const output = document.getElementById(`${field.id}-expiry`);
    const { words, isBad, isExpired } = verdict(expiryOf(field.value), Number(field.dataset.rounds) || 0);
    field.setCustomValidity(isExpired ? words : ""); // the browser then sends nothing, but for Cancel and the like
    if (!output || output.textContent === words) return;
    // While time goes by only a change for the worse is read out.
    output.setAttribute("aria-live", isNew || isBad !== output.classList.contains("bad") ? "polite" : "off");
    output.classList.toggle("bad", isBad);
    output.textContent = words;
  }

  const fields = () => document.querySelectorAll("[data-token-field]");

  function reveal(field, isShown) {
    field.type = isShown ? "text" : "password";
    const button = document.querySelector(`.show-token[aria-controls="${field.id}"]`);
    if (!button) return;
    button.textContent = isShown ? "Hide" : "Show";
    button.setAttribute("aria-label", `${button.textContent} the token`);
  }

  document.documentElement.classList.add("script");
  document.addEventListener("input", ({ target }) => {
    if (target.matches?.("[data-token-field]")) show(target, true);
  });
  document.addEventListener("rounds", ({ target }) => show(target, true)); // somebody knows better how long it takes
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.(".show-token");
    if (!button) return;
    const field = document.getElementById(button.getAttribute("aria-controls"));
    reveal(field, field.type === "password");
  });
  // Shown, it would be kept among what was typed into a field for text.
  document.addEventListener("submit", ({ target }) => target.querySelectorAll("[data-token-field]").forEach((field) => reveal(field, false)));
  addEventListener("pageshow", () => fields().forEach((field) => show(field, true)));
  setInterval(() => fields().forEach((field) => show(field, false)), LOOK_EVERY_MS);
}
