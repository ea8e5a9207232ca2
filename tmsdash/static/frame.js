/* The foot of every page: colours and times without losing the page, and the shortcuts, none of which acts. */
"use strict";
{
  const form = document.querySelector("form.display");
  const dialog = document.getElementById("shortcuts");
  const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isOther = (buttons) => ownZone && !["UTC", "Etc/UTC"].includes(ownZone) && [...buttons].every(({ value }) => value !== ownZone);

  /* Colours and times ------------------------------------------------------------ */

  function offerOwnZone() {
    const buttons = form.querySelectorAll("[name=time_zone]");
    if (isOther(buttons)) {
      const button = buttons[0].cloneNode();
      button.value = button.textContent = ownZone;
      button.setAttribute("aria-pressed", "false");
      buttons[0].parentNode.append(button);
    }
    const select = document.querySelector("#display-form [name=time_zone]");
    if (select) {
      const group = Object.assign(document.createElement("optgroup"), { label: "This browser's" });
      group.append(new Option(ownZone.replaceAll("_", " "), ownZone));
      select.prepend(group);
    }
  }

  /* Whether the page holds what a new one would not: something typed, or the answer to a form. */
  function isInUse() {
    if ("posted" in form.dataset) return true;
    return [...document.querySelectorAll("main :is(input:not([type=hidden]), textarea, select)")].some((field) => {
      if (field.type === "file") return field.files.length > 0;
      if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
      return field.checked !== field.defaultChecked || field.value !== field.defaultValue;
    });
  }

  function show({ name, value }) {
    for (const button of form.querySelectorAll(`[name=${name}]`)) button.setAttribute("aria-pressed", String(button.value === value));
    if (name === "theme") {
      if (value === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = value;
      document.querySelector("meta[name=color-scheme]").content = value === "system" ? "light dark" : value;
    } else if (isInUse()) {
      form.querySelector("[role=status]").textContent = "Times change with the next page.";
    } else {
      location.assign(location.pathname + location.search);
    }
  }

  async function choose(button) {
    const fields = new FormData(form);
    fields.set(button.name, button.value);
    const options = { method: "POST", body: new URLSearchParams(fields), redirect: "manual", headers: { "HX-Request": "true" } };
    const answer = await fetch(form.action, options).catch(() => null);
    if (answer?.status === 204) show(button);
    else form.querySelector("[role=status]").textContent = "Nothing was changed. Reload the page and try again.";
  }

  /* Shortcuts -------------------------------------------------------------------- */

  function goToSearch() {
    const visible = (field) => field.closest("details")?.open === false || field.checkVisibility();
    const fields = [...document.querySelectorAll("main [type=search], main .find input, .filters :is(input, select)")];
    const field = fields.find((each) => each.type !== "hidden" && visible(each));
    if (!field) return false;
    const details = field.closest("details");
    if (details) details.open = true;
    field.focus();
    return true;
  }

  function goToNewAction() {
    if (dialog.dataset.new) location.assign(dialog.dataset.new);
    return true;
  }

  function list() {
    dialog.showModal();
    dialog.querySelector("button").focus();
    return true;
  }

  const KEYS = { "/": goToSearch, n: goToNewAction, "?": list };

  function onKey(event) {
    // Until the page is drawn anew, the focus may still be in a dialog that was just closed.
    const isTyping = event.target.isContentEditable || event.target.closest("input, textarea, select, dialog[open]");
    const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || event.defaultPrevented);
    if (isPlain && !isTyping && dialog.isConnected && Object.hasOwn(KEYS, event.key) && KEYS[event.key]()) event.preventDefault();
  }

  /* On paper: the time of printing, which may be long after that of loading, and what can be opened. ---------- */

  let opened = [];

  addEventListener("beforeprint", () => {
    const printed = document.querySelector(".printed span");
    const options = { timeZone: printed.dataset.zone, dateStyle: "short", timeStyle: "short" };
    printed.textContent = new Date().toLocaleString("sv-SE", options); // as in 2026-03-05 12:00
    opened = [...document.querySelectorAll("main details:not([open], .filters)")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });

  if (form) {
    offerOwnZone();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      choose(event.submitter);
    });
    document.querySelector("[data-opens=shortcuts]").addEventListener("click", (event) => {
      event.preventDefault();
      list();
    });
    if (dialog.dataset.areOn === "yes") document.addEventListener("keydown", onKey);
  }
}
