/* Keeps the part of a page that has `data-live` up to date: what changed is changed in place, and only that. A selection,
   the focus, open details and whatever somebody types survive, so fields are never touched.

   The part names the address of its newer self (data-live), after how many seconds to ask for it (data-every-s, missing
   once nothing changes any more), the page's title (data-title), and once it needs somebody, why (data-call). */
"use strict";
{
  const HIDDEN_EVERY_S = 30; // at most, while nobody looks at the page
  const LOST_EVERY_S = 30; // at most, while there is no connection
  const ANSWER_WITHIN_MS = 15_000;
  const BACK_SHOWN_MS = 30_000;
  const KEPT = "[data-kept], .field"; // never changed from here
  const OWN_ATTRIBUTES = { DETAILS: "open", BUTTON: "hidden" }; // which the reader or another script sets

  const part = document.querySelector("[data-live]");
  const connection = document.getElementById("connection");
  const loadedAt = Date.now();
  const { now, zone } = document.documentElement.dataset; // in the zone that the page's times are shown in
  const serverTime = Date.parse(now); // this computer's clock may be wrong
  const ahead = Date.parse(now.replace(/[+-]\d\d:\d\d$/, "Z")) - serverTime; // of UTC

  /* Changing in place ---------------------------------------------------------- */

  const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
  const nameOf = (node) => `${node.nodeName} ${(isElement(node) && node.id) || ""}`;

  /* Whether somebody is in one of its fields, or has typed or chosen something there. */
  function isInUse(node) {
    if (!isElement(node)) return false;
    return [...node.querySelectorAll("input, textarea, select")].some((field) => {
      if (field.type === "hidden") return false;
      if (field === document.activeElement || field.checked !== field.defaultChecked) return true;
      return field.nodeName !== "SELECT" && field.value !== field.defaultValue;
    });
  }

  function change(old, fresh) {
    if (!isElement(old)) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    const isTime = old.matches("time[data-ago]") && old.dateTime === fresh.dateTime; // tmsdash.js keeps these fresh
    if (isTime || old.matches(KEPT) || old.isEqualNode(fresh)) return;
    changeAttributes(old, fresh);
    changeChildren(old, fresh);
  }

  function changeAttributes(old, fresh) {
    const own = OWN_ATTRIBUTES[old.nodeName];
    for (const name of old.getAttributeNames()) if (name !== own && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const name of fresh.getAttributeNames()) {
      const value = fresh.getAttribute(name);
      if (name !== own && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  /* Pairs children that have the same id, and others of the same kind in their order. What is paired is never moved out
     of the document, since that would end a selection. */
  function changeChildren(old, fresh) {
    const waiting = new Map();
    for (const child of old.childNodes) {
      if (isElement(child) && "byScript" in child.dataset) continue;
      const name = nameOf(child);
      if (!waiting.has(name)) waiting.set(name, []);
      waiting.get(name).push(child);
    }
    const children = [...fresh.childNodes];
    const pairs = children.map((child) => waiting.get(nameOf(child))?.shift());
    for (const child of [...waiting.values()].flat()) remove(child);
    const paired = new Set(pairs);
    let place = old.firstChild;
    children.forEach((child, index) => {
      while (place && !paired.has(place)) place = place.nextSibling;
      const pair = pairs[index];
      if (!pair) old.insertBefore(child, place);
      else if (pair === place) place = place.nextSibling;
      else old.insertBefore(pair, place);
      if (pair) change(pair, child);
    });
  }

  function remove(node) {
    if (isInUse(node) || (isElement(node) && node.matches("[data-kept]"))) return; // it goes when nobody needs it
    const hadFocus = node.contains(document.activeElement);
    node.remove();
    if (hadFocus) part.querySelector("[data-focus]")?.focus({ preventScroll: true });
  }

  /* Saying how it stands ------------------------------------------------------------- */

  const clock = (at) => `${new Date(serverTime + ahead + at - loadedAt).toISOString().slice(11, 19)} ${zone}`;
  let heardAt = loadedAt, failures = 0;

  function say(words) {
    const note = document.createElement("p");
    note.className = "note unsure";
    note.textContent = words;
    connection.replaceChildren(...(words ? [note] : []));
  }

  function lost(why) {
    failures += 1;
    if (failures > 1) return; // said once: a screen reader would read it again each time
    say(`${why} What this page shows is from ${clock(heardAt)}. It tries again by itself, and needs no reload.`);
  }

  function heard() {
    heardAt = Date.now();
    if (!failures) return;
    failures = 0;
    say(`The connection is back since ${clock(heardAt)}. What this page shows is up to date.`);
    setTimeout(() => failures || say(""), BACK_SHOWN_MS);
  }

  /* Notifications: only if somebody asks for one. The wish outlives a reload of the page, not the browser's window. */

  const bell = document.getElementById("bell");
  const wish = `notify ${part.dataset.live}`;

  function offerNotification() {
    if (!bell || !("Notification" in window) || !window.isSecureContext || !part.dataset.everyS) return;
    const answer = bell.nextElementSibling;
    const promise = () => {
      bell.hidden = true;
      answer.textContent = "Your browser will tell you. Keep this page open.";
    };
    if (sessionStorage.getItem(wish) && Notification.permission === "granted") promise();
    else bell.hidden = false;
    bell.addEventListener("click", async () => {
      if ((await Notification.requestPermission()) !== "granted") {
        answer.textContent = "Your browser does not allow it. You can change that in its settings for this site.";
        return;
      }
      sessionStorage.setItem(wish, "yes");
      promise();
    });
  }

  function notify() {
    if (!part.dataset.everyS && bell) bell.hidden = true; // there is nothing left to be told
    if (!part.dataset.call || !sessionStorage.getItem(wish)) return;
    sessionStorage.removeItem(wish);
    try {
      new Notification(part.dataset.call, { body: part.dataset.about });
    } catch {
      // Some browsers of phones have the word, but not the deed.
    }
    bell.nextElementSibling.textContent = "";
  }

  /* Asking ---------------------------------------------------------------------------- */

  let timer, isAsking = false;

  /* The header says that this is no use of the session: an open page keeps nobody signed in. */
  async function ask() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    try {
      await renew();
    } finally {
      isAsking = false;
      wait();
    }
  }

  async function renew() {
    let answer, text;
    try {
      const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
      answer = await fetch(part.dataset.live, { headers: { "HX-Request": "true" }, cache: "no-store", signal });
      text = await answer.text();
    } catch {
      return lost("There is no connection to the dashboard.");
    }
    if (answer.headers.get("HX-Refresh")) return location.reload(); // the session is over: it leads to the sign-in page
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(part.id);
    if (!answer.ok || !fresh) return lost(`The dashboard answers with an error (HTTP ${answer.status}).`);
    heard();
    change(part, fresh);
    document.title = `${part.dataset.title} · TMS Dashboard`;
    document.dispatchEvent(new Event("live:changed"));
    notify();
  }

  function wait() {
    if (!part.dataset.everyS) return;
    let seconds = Number(part.dataset.everyS);
    if (failures) seconds = Math.min(seconds * 2 ** (failures - 1), LOST_EVERY_S);
    if (document.hidden) seconds = Math.max(seconds, HIDDEN_EVERY_S);
    timer = setTimeout(ask, seconds * 1000);
  }

  function askNow() {
    if (!document.hidden && part.dataset.everyS) ask();
  }

  document.addEventListener("visibilitychange", askNow);
  addEventListener("online", askNow);
  if (part.dataset.call) sessionStorage.removeItem(wish); // whoever opens the page sees it
  offerNotification();
  wait();
}
