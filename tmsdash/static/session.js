/* The end of a session: warns of it, offers to stay, and then clears the page, so that nobody passing by can read it.
   What was typed goes to the server, which seals it into the page to sign in; nothing that the form is for is done. */
"use strict";
{
  const { session, signIn, keep, leftS, idleS } = document.currentScript.dataset;
  const WARN_S = Math.min(120, Number(idleS) / 2); // before the end
  const ASK_AGAIN_S = 15; // while the warning stands: another tab may be in use
  const LOOK_EVERY_MS = 1000; // at the clock
  const GONE = "gone", OVER = "over";

  function element(name, properties, ...children) {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  }

  /* What the server knows of the session; OVER, or GONE if it does not answer. The header keeps no session alive. */
  async function ask(options = {}) {
    try {
      const headers = { "HX-Request": "true", ...options.headers };
      const answer = await fetch(session, { ...options, headers, redirect: "manual", cache: "no-store" });
      if (answer.ok) return await answer.json();
      return answer.status === 401 ? OVER : GONE;
    } catch {
      return GONE;
    }
  }

  /* The warning ------------------------------------------------------------------ */

  let banner, sentence, clock, stay;

  function minutes(seconds) {
    return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  }

  function warn(state) { // it takes no focus: somebody may be typing
    if (!banner) {
      sentence = element("p", {});
      clock = element("span", { className: "clock" });
      stay = element("button", { type: "button", textContent: "Stay signed in" });
      stay.addEventListener("click", stayHere);
      const live = element("div", { className: "words" }, sentence);
      live.setAttribute("role", "status");
      clock.setAttribute("aria-hidden", "true");
      banner = element("div", { className: "session-ends", id: "session-ends" }, live, clock, stay);
      banner.setAttribute("role", "region");
      banner.setAttribute("aria-label", "Your session");
      live.append(element("p", { className: "visually-hidden", textContent: "The button to stay is at the top of the page." }));
      document.body.prepend(banner);
    }
    stay.hidden = state.is_last;
    const left = state.seconds_left > 60 ? "2 minutes" : "a minute";
    const why = state.is_last ? ` A session lasts ${state.max_hours} hours at most.` : "";
    // Only now, so that a screen reader notices the change; where the button is, others see.
    setTimeout(() => say(`Your session ends in less than ${left}.${why} What you typed comes back after signing in.`));
  }

  function say(words) {
    if (sentence.textContent !== words) sentence.textContent = words;
  }

  function endWarning() {
    if (!banner) return;
    if (banner.contains(document.activeElement)) document.getElementById("main")?.focus();
    banner.remove();
    banner = undefined;
  }

  async function stayHere() {
    stay.disabled = true;
    let state = await ask(); // with a token that is right if somebody has signed in again in another tab
    if (state.csrf_token) state = await ask({ method: "POST", headers: { "X-CSRFToken": state.csrf_token } });
    if (banner) stay.disabled = false;
    if (state === GONE) say("The dashboard does not answer, so the session goes on towards its end. Try again.");
    else take(state);
  }

  /* The end ---------------------------------------------------------------------- */

  function isTyped(field) {
    if (field.disabled || field.type === "hidden" || field.type === "password" || field.type === "submit") return false;
    if (field.type === "file") return field.files.length > 0;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName === "TEXTAREA") return field.value.trim() !== "";
    if (field.tagName === "SELECT") return [...field.options].some((option) => option.selected !== option.defaultSelected);
    return field.value !== field.defaultValue;
  }

  let lastForm; // that was typed into
  document.addEventListener("input", (event) => { lastForm = event.target.form || lastForm; });

  function typedForm() {
    const kept = [...document.forms].filter((form) =>
      (form.getAttribute("action") || "").includes("author=") && [...form.elements].some(isTyped));
    return kept.includes(lastForm) ? lastForm : kept[0];
  }

  let form; // whose content waits for the server

  /* Leaves nothing of the page but the form, out of sight: its files cannot be moved into another one. */
  function clear(isGone) {
    form ||= typedForm();
    const back = `${signIn}?next=${encodeURIComponent(location.pathname + location.search)}`;
    document.title = "Signed out · TMS Dashboard";
    document.documentElement.scrollTop = 0;
    const words = isGone
      ? "The dashboard does not answer now. What you typed is kept in this tab: leave it open, and it goes on by itself."
      : "What you typed is taken along to the page to sign in.";
    const message = element("main", { className: "width", id: "main" },
      element("h1", { textContent: "Your session has ended" }),
      ...(form ? [element("p", { textContent: words })] : []),
      ...(form && !isGone ? [] : [element("p", {}, element("a", { href: back, textContent: "Sign in again" }))]));
    message.setAttribute("role", "alert");
    document.body.replaceChildren(message, ...(form ? [element("div", { hidden: true }, form)] : []));
    if (form && !isGone) handOver();
  }

  function handOver() { // fields may be called action or submit, which then hide what forms have under these names
    const action = new URL(form.getAttribute("action"), location.href);
    const target = new URL(keep, location.href);
    target.searchParams.set("author", action.searchParams.get("author"));
    action.searchParams.delete("author");
    form.append(element("input", { type: "hidden", name: "kept_for", value: action.pathname + action.search }));
    form.setAttribute("action", target.pathname + target.search);
    HTMLFormElement.prototype.submit.call(form);
  }

  /* The clock: compares times instead of using one long timer, because timers stop while a computer sleeps --------- */

  let endsAt = Date.now() + Number(leftS) * 1000;
  let askAt = endsAt - WARN_S * 1000;
  let isAsking = false, isCleared = false;

  function take(state) {
    if (state === OVER) {
      clearInterval(timer);
      clear(false);
    } else if (state === GONE) {
      askAt = Date.now() + ASK_AGAIN_S * 1000;
      if (Date.now() > endsAt && !isCleared) { // nobody can tell, and this page has been idle for that long
        isCleared = true;
        clear(true);
      }
    } else if (isCleared) { // it was used elsewhere
      clearInterval(timer);
      if (form) handOver(); // a reload would empty it
      else location.reload();
    } else {
      endsAt = Date.now() + state.seconds_left * 1000;
      if (state.seconds_left > WARN_S) {
        askAt = endsAt - WARN_S * 1000;
        endWarning();
      } else {
        askAt = Math.min(Date.now() + ASK_AGAIN_S * 1000, endsAt + 1000);
        warn(state);
      }
    }
  }

  const timer = setInterval(async () => {
    if (banner) clock.textContent = minutes(Math.max(0, (endsAt - Date.now()) / 1000));
    if (isAsking || Date.now() < askAt) return;
    isAsking = true;
    try {
      take(await ask());
    } finally {
      isAsking = false;
    }
  }, LOOK_EVERY_MS);
}
