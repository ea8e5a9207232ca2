/* Conveniences: a running count of ids, copy buttons, relative times. Every page works without JavaScript. */
"use strict";

const COUNT_AFTER_MS = 400; // without a keystroke
const LONG_TEXT = 100_000; // characters that are counted without a pause
const ROWS_AT_ONCE = 500, SLICE_MS = 10; // of a longer text, between two pauses
const REFRESH_TIMES_EVERY_MS = 10_000;
const FORBIDDEN = /[\p{C}\p{Z}]|eyJ[\w-]{5,}\.[\w-]+\./u; // characters no id holds, or the look of a token
const MAX_ID_LENGTH = 128;
const UNITS = [["hour", 3600], ["minute", 60], ["second", 1]];

/* Ids: split, trimmed and checked as setactions/inputs does it; tables are left to the server ---------------- */

const HEADER = /^[\s_.:#-]*(cust(omer)?[\s_.:#-]*id|c?id)[\s_.:#-]*$/i;

function trimmed(cell) {
  let start = 0, end = cell.length;
  while (start < end && " \u00A0".includes(cell[start])) start++;
  while (end > start && " \u00A0".includes(cell[end - 1])) end--;
  return cell.slice(start, end);
}

function isTooLong(id) { // a character takes up at most two UTF-16 units
  return id.length > 2 * MAX_ID_LENGTH || (id.length > MAX_ID_LENGTH && [...id].length > MAX_ID_LENGTH);
}

function* rowsOf(text) {
  const end = /\r\n|\n|\r/g;
  let start = text.startsWith("\uFEFF") ? 1 : 0;
  for (let found = end.exec(text); found; found = end.exec(text)) {
    yield text.slice(start, found.index);
    start = end.lastIndex;
  }
  yield text.slice(start);
}

/* Counts step by step, so that a long text need not be counted at a stretch. */
function* counting(text) {
  const distinct = new Set();
  let given = 0, wrong = 0, firstWrongLine = 0, line = 0, rows = 0, longest = 0;
  for (const row of rowsOf(text)) {
    if (++line % ROWS_AT_ONCE === 0) yield;
    const ids = row.split(/[,;\t]/).map(trimmed).filter(Boolean);
    if (ids.length) rows++;
    longest = Math.max(longest, ids.length);
    for (const id of ids) {
      if (rows === 1 && ids.length === 1 && HEADER.test(id)) continue;
      if (isTooLong(id) || FORBIDDEN.test(id)) {
        wrong++;
        firstWrongLine ||= line;
      } else {
        given++;
        distinct.add(id);
      }
    }
  }
  const isTable = text.includes('"') || (rows > 1 && longest > 1);
  return { count: distinct.size, repeats: given - distinct.size, wrong, firstWrongLine, isTable };
}

function countIds(text) {
  const steps = counting(text);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/* The same with pauses in which the page can do other things; null once `isWanted` says that the text has changed. */
async function countInSlices(text, isWanted) {
  const steps = counting(text);
  for (;;) {
    const until = performance.now() + SLICE_MS;
    let step;
    do step = steps.next(); while (!step.done && performance.now() < until);
    if (step.done) return step.value;
    await new Promise((go) => setTimeout(go));
    if (!isWanted()) return null;
  }
}

function amount(number, word) {
  return `${number.toLocaleString("en-US")} ${word}${number === 1 ? "" : "s"}`;
}

function inWords({ count, repeats, wrong, firstWrongLine, isTable }, limit) {
  if (!count && !wrong) return "";
  if (isTable) return "This looks like a table. It is checked, and its customers are counted, on the next page.";
  let words = amount(count, "customer") + (repeats ? `, ${amount(repeats, "repeat")}` : "") + ".";
  if (count > limit) words += ` That is more than the ${limit.toLocaleString("en-US")} that fit into one call, so they run as a batch.`;
  if (wrong === 1) words += ` 1 entry cannot be a customer id: see line ${firstWrongLine}.`;
  if (wrong > 1) words += ` ${wrong.toLocaleString("en-US")} entries cannot be customer ids: the first is in line ${firstWrongLine}.`;
  return words;
}

function countWhileTyping(output) {
  const field = document.getElementById(output.dataset.counts);
  let timer, turn = 0;
  const show = async () => {
    const text = field.value, own = ++turn;
    const counted = text.length < LONG_TEXT ? countIds(text) : await countInSlices(text, () => own === turn);
    if (!counted) return;
    const { count } = counted;
    const words = inWords(counted, Number(output.dataset.limit));
    if (output.textContent !== words) output.textContent = words;
    output.dispatchEvent(new CustomEvent("counted", { detail: count }));
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, COUNT_AFTER_MS);
  });
  show();
}

/* Copy buttons ----------------------------------------------------------------- */

/* Reads the ids back from a file that `ids_text` of tmsdash/csv_text.py wrote. */
function idsOfCsv(text) {
  return text.split("\r\n").slice(1, -1).map((cell) => {
    const id = cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell;
    return id.startsWith("'") ? id.slice(1) : id; // all that begin with one have another in front
  });
}

async function fetchIds(address) {
  const answer = await fetch(address);
  const isCsv = (answer.headers.get("Content-Type") || "").startsWith("text/csv");
  if (!answer.ok || !isCsv) throw new Error("not a file of ids"); // but the sign-in page, for example
  return idsOfCsv(await answer.text()).join("\n");
}

async function copy(button, status) {
  const { copy: text, copyCsv, copied } = button.dataset;
  const loading = (copyCsv ? fetchIds(copyCsv) : Promise.resolve(text)).then((ids) => new Blob([ids], { type: "text/plain" }));
  try {
    // A promise, because some browsers write to the clipboard only at the moment of the click.
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": loading })]);
    status.textContent = copied;
  } catch {
    status.textContent = "Nothing was copied. Reload the page and try again.";
  }
}

function offerCopying(button) {
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  status.dataset.byScript = ""; // live.js leaves it alone
  status.className = "hint";
  button.after(status);
  button.hidden = false;
  button.addEventListener("click", () => {
    status.textContent = ""; // so that screen readers announce the same words again
    copy(button, status);
  });
}

/* The bar of production: shown while a form chooses a production cluster ---------------- */

function followChoice(field) {
  const bar = document.querySelector(".production-bar"), production = field.dataset.production.split(" ");
  const follow = () => {
    bar.hidden = !production.includes(field.value);
    bar.querySelector("strong").textContent = field.value;
  };
  field.addEventListener("change", follow);
  addEventListener("pageshow", follow); // on the way back a browser brings what was chosen
}

/* Relative times: up to 24 hours, worded like Django's naturaltime ---------------------- */

function agoInWords(seconds) {
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) || [];
  if (!unit) return "now";
  const number = Math.floor(Math.abs(seconds) / length);
  const span = number > 1 ? `${number} ${unit}s` : `${unit === "hour" ? "an" : "a"} ${unit}`;
  return `${span} ${seconds > 0 ? "ago" : "from now"}`;
}

function keepTimesFresh() {
  const loadedAt = Date.now();
  const serverTime = Date.parse(document.documentElement.dataset.now); // this computer's clock may be wrong
  setInterval(() => {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const seconds = Math.trunc((serverTime + Date.now() - loadedAt - Date.parse(time.dateTime)) / 1000);
      if (Math.abs(seconds) >= 24 * 3600) continue;
      const ago = time.querySelector(".ago");
      const words = `(${agoInWords(seconds)})`;
      if (ago.textContent !== words) ago.textContent = words;
    }
  }, REFRESH_TIMES_EVERY_MS);
}

/* "Today" and "Yesterday" above the rows of a day, on a page that stays open past midnight. */
function keepDaysRight() {
  const { dataset } = document.querySelector(".printed [data-zone]") || {};
  const loadedAt = Date.now(), serverTime = Date.parse(document.documentElement.dataset.now);
  setInterval(() => {
    const today = new Date(serverTime + Date.now() - loadedAt).toLocaleDateString("sv-SE", { timeZone: dataset?.zone }); // as in 2026-03-05
    const yesterday = new Date(Date.parse(today) - 24 * 3600 * 1000).toISOString().slice(0, 10);
    for (const name of document.querySelectorAll("[data-day]")) {
      const words = { [today]: "Today · ", [yesterday]: "Yesterday · " }[name.dataset.day] || "";
      if (name.textContent !== words) name.textContent = words;
    }
  }, REFRESH_TIMES_EVERY_MS);
}

/* Tables in a region of their own: it takes the focus, for the arrow keys, only where there is something to scroll. */

const sizes = new ResizeObserver((entries) => { // comes once the page is laid out, and forces nothing
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

function skipWhatFits() {
  for (const region of document.querySelectorAll(".scrolls")) {
    sizes.unobserve(region); // what it holds may be another table
    sizes.observe(region);
  }
}

skipWhatFits();
document.addEventListener("live:changed", skipWhatFits);
document.querySelectorAll("[data-counts]").forEach(countWhileTyping);
document.querySelectorAll("select[data-production]").forEach(followChoice);
const offerAllCopying = () => document.querySelectorAll("button.copy[hidden]").forEach(offerCopying);
if (navigator.clipboard && window.ClipboardItem) {
  offerAllCopying();
  document.addEventListener("live:changed", offerAllCopying); // in the part of the page that live.js keeps up to date
}
keepTimesFresh();
keepDaysRight();
