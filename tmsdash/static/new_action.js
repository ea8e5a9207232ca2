/* The New action form: a file that is chosen or dropped is counted and shown before it is sent to the server.

A file is read in slices, and while the next one is fetched the page can do other things, so it never stands still. What is shown is a first look;
the server checks the whole list. Helpers for ids and words are those of tmsdash.js. */
"use strict";
{
  const SLICE_BYTES = 128 * 1024;
  const FIRST_IDS = 5;
  const SEPARATORS = [",", ";", "\t", "|"];
  const NO_TEXT = [["PK\u0003\u0004", "a workbook or an archive"], ["%PDF", "a PDF document"], ["\u001f\uFFFD", "compressed"]];
  const DAMAGED = /^(#+[^\W\d_].*|[-+]?\d+(\.\d*)?E[-+]\d+|[-+]?\d+\.\d*E\d+|null|nan|none|n\/a|true|false)$/i;

  /* Reads CSV bit by bit: `add` takes the next part of the text, `end` tells that there is no more. */
  class ListReader {
    constructor() {
      Object.assign(this, { line: 1, rows: 0, given: 0, columns: [], idColumn: 0, firstIds: [], distinct: new Set() });
      this.problems = new Map(); // sentence -> [how often, first line]
      Object.assign(this, { separator: "", cells: [], cell: "", isQuoted: false, wasQuoted: false, rest: "", rowLine: 1 });
    }

    note(sentence, line = this.rowLine) {
      const [times, first] = this.problems.get(sentence) || [0, line];
      this.problems.set(sentence, [times + 1, first]);
    }

    add(text, isLast = false) {
      text = this.rest + text;
      this.rest = "";
      if (!this.separator) {
        const [first] = text.match(/[^\r\n]*\S[^\r\n]*(?=[\r\n])/) || (isLast ? [text] : []);
        if (first === undefined) return void (this.rest = text);
        this.separator = this.separatorIn(first);
      }
      if (!isLast && /[\r"]$/.test(text)) { // what comes next decides what it means
        this.rest = text.slice(-1);
        text = text.slice(0, -1);
      }
      this.read(text);
    }

    separatorIn(line) {
      const named = line.match(/^"?sep=(.?)"?[,;\s]*$/i);
      if (named) return named[1] || ",";
      const ofHeader = SEPARATORS.filter((mark) => line.split(mark).some((cell) => HEADER.test(unquoted(cell))));
      const times = (mark) => line.split(mark).length;
      return (ofHeader.length ? ofHeader : SEPARATORS.slice(0, 3)).reduce((best, mark) => (times(mark) > times(best) ? mark : best));
    }

    read(text) {
      let start = 0;
      for (let at = 0; at < text.length; at++) {
        const mark = text[at];
        if (this.isQuoted) {
          if (mark !== '"') {
            if (mark === "\n") this.line++;
            continue;
          }
          this.cell += text.slice(start, at);
          start = at + 1;
          if (text[at + 1] === '"') at++; // the second one belongs to the text
          else this.isQuoted = false;
        } else if (mark === '"' && !this.cell.trim() && !text.slice(start, at).trim()) {
          this.isQuoted = true;
          this.cell = "";
          start = at + 1;
        } else if (mark === this.separator || mark === "\n" || mark === "\r") {
          this.cells.push(this.cell + text.slice(start, at));
          this.cell = "";
          start = at + 1;
          if (mark === this.separator) continue;
          if (mark === "\r" && text[at + 1] === "\n") start = ++at + 1;
          this.row();
        }
      }
      this.cell += text.slice(start);
    }

    end() {
      this.add("", true);
      if (this.cell || this.cells.length) {
        this.cells.push(this.cell);
        this.row();
      }
      if (this.isQuoted) this.note("A quotation mark is opened and not closed");
      return this;
    }

    row() {
      const cells = this.cells.map(trimmed), line = this.rowLine;
      this.cells = [];
      this.line++;
      if (cells.some(Boolean) && !/^sep=.?$/i.test(cells[0])) this.take(cells, line);
      this.rowLine = this.line;
    }

    take(cells, line) {
      if (!this.columns.length) {
        this.columns = cells;
        this.idColumn = cells.findIndex((cell) => HEADER.test(cell));
        this.hasHeader = this.idColumn >= 0;
        if (this.hasHeader) return;
        this.idColumn = 0;
      }
      this.rows++;
      if (!this.hasHeader && this.rows === 2 && this.columns.length > 1) {
        this.note("There are several columns, and no first line that calls one of them customer_id", 1);
      }
      const isOneLine = !this.hasHeader && this.rows === 1;
      if (this.hasHeader && cells.length !== this.columns.length) {
        this.note("A row has another number of cells than the first line", line);
      }
      for (const id of isOneLine ? cells.filter(Boolean) : [cells[this.idColumn] || ""]) this.takeId(id, line);
    }

    takeId(id, line) {
      if (id.startsWith("'")) id = id.slice(1); // as our own files keep spreadsheets from changing it
      if (!id) return this.note("A row has no id", line);
      if (isTooLong(id) || FORBIDDEN.test(id)) return this.note("This cannot be a customer id", line);
      if (DAMAGED.test(id)) this.note("An id looks damaged by a spreadsheet", line);
      this.given++;
      this.distinct.add(id);
      if (this.firstIds.length < FIRST_IDS && this.distinct.size > this.firstIds.length) this.firstIds.push(id);
    }
  }

  const unquoted = (cell) => cell.trim().replace(/^"(.*)"$/, "$1");
  const shown = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

  /* Reads a file in slices; null once `isWanted` says that another one was chosen meanwhile. */
  async function readFile(file, isWanted) {
    const reader = new ListReader(), decoder = new TextDecoder();
    for (let at = 0; at < file.size; at += SLICE_BYTES) {
      const bytes = await file.slice(at, at + SLICE_BYTES).arrayBuffer();
      if (!isWanted()) return null;
      const text = decoder.decode(bytes, { stream: at + SLICE_BYTES < file.size });
      const kind = at === 0 && NO_TEXT.find(([signature]) => text.startsWith(signature));
      if (kind || text.includes("\0")) return { refused: `This is ${kind ? kind[1] : "no text"}, not CSV. Save it as CSV UTF-8.` };
      if (text.includes("\uFFFD")) reader.note("This is not UTF-8. Save the file as CSV UTF-8", reader.line);
      reader.add(text);
    }
    return reader.end();
  }

  function sizeInWords(bytes) {
    return bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024)).toLocaleString("en-US")} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
  }

  function element(name, text, ...children) {
    const node = document.createElement(name);
    node.append(text, ...children);
    return node;
  }

  function button(text, action) {
    const node = element("button", text);
    node.type = "button";
    node.addEventListener("click", action);
    return node;
  }

  function resultOf(file, reader, limit) {
    const { distinct, given, rows, columns, hasHeader, firstIds } = reader;
    const names = hasHeader ? ` (${columns.slice(0, 6).map((name) => shown(name) || "one without a name").join(", ")}${columns.length > 6 ? ", …" : ""})` : "";
    const repeats = given - distinct.size;
    let words = `: ${amount(distinct.size, "customer")}${repeats ? `, ${amount(repeats, "repeat")}` : ""}, in ${amount(rows, "row")} of ${amount(columns.length, "column")}${names}.`;
    if (firstIds.length) words += ` First: ${firstIds.map(shown).join(", ")}${distinct.size > firstIds.length ? ", …" : ""}`;
    if (distinct.size > limit) words += ` That is more than the ${limit.toLocaleString("en-US")} that fit into one call, so they run as a batch.`;
    const parts = [element("p", element("strong", file.name), ` (${sizeInWords(file.size)})${words}`)];
    const problems = [...reader.problems].slice(0, 10).map(([sentence, [times, line]]) =>
      element("li", `${sentence}: ${times > 1 ? `${times.toLocaleString("en-US")} times, first in` : "see"} line ${line.toLocaleString("en-US")}.`));
    if (!given) parts.push(element("p", "No customer id was found in it."));
    if (problems.length) parts.push(element("ul", "", ...problems));
    return parts;
  }

  function watchFile(output) {
    const input = document.getElementById(output.dataset.file), form = input.form;
    const field = form.elements.cids, counter = document.querySelector(`[data-counts="${field.id}"]`);
    const fromFile = document.getElementById("from-file");
    const limit = Number(counter.dataset.limit);
    let reading = 0, replaced = ""; // the text of the file whose place another one took

    const isTyped = () => field.value.trim() !== "";
    const takeOut = () => {
      input.value = "";
      if (replaced && !isTyped()) field.value = replaced;
      replaced = "";
      input.dispatchEvent(new Event("change", { bubbles: true }));
      input.focus();
    };
    const empty = () => {
      field.value = "";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    };

    /* A file takes the place of the text of another file; beside ids that were typed, its user says which is meant. */
    function settle(file) {
      if (!isTyped()) return [];
      if (fromFile && field.value === field.defaultValue) {
        const before = fromFile.querySelector("strong").textContent;
        replaced = field.value;
        empty();
        return [element("p", `It replaces the list of ${before}.`)];
      }
      const question = element("p", element("strong", "There are ids in the field above, too. "), "Which list is meant?");
      const use = button(`Use ${shown(file.name)}`, () => { empty(); show(); field.focus(); });
      const choices = element("p", "", use, " ", button("Use the ids above", takeOut));
      choices.className = "buttons";
      return [question, choices];
    }

    /* What the server would refuse whatever it holds is not sent. */
    function refuse(file, words) {
      input.setCustomValidity(file.name + words);
      output.replaceChildren(element("p", element("strong", file.name), words), button("Remove the file", takeOut));
    }

    async function show() {
      const number = ++reading, [file] = input.files;
      tellRounds(0);
      input.setCustomValidity("");
      if (!file) return output.replaceChildren();
      const settled = settle(file);
      if (file.size > Number(output.dataset.maxBytes)) {
        const words = ` (${sizeInWords(file.size)}) is larger than the ${sizeInWords(Number(output.dataset.maxBytes))} that can be sent from here. Split it, or use the command set_action_batch.`;
        return refuse(file, words);
      }
      const wait = setTimeout(() => output.replaceChildren(element("p", `Reading ${file.name} …`)), 300);
      let parts;
      try {
        const result = await readFile(file, () => number === reading);
        if (result === null) return;
        if (result.refused) return refuse(file, `: ${result.refused}`);
        parts = resultOf(file, result, limit);
        tellRounds(result.distinct.size);
      } catch {
        parts = [element("p", `${file.name} cannot be read any more. Choose it again.`)];
      } finally {
        clearTimeout(wait);
      }
      if (number === reading) output.replaceChildren(...parts, ...settled, button("Remove the file", takeOut));
    }

    /* How many calls come one after the other tells whether a token lasts. */
    function tellRounds(count) {
      const token = form.querySelector("[data-token-field]");
      const rounds = count > limit ? Math.ceil(Math.ceil(count / Number(counter.dataset.chunk)) / Number(counter.dataset.calls)) : 0;
      if (!token || Number(token.dataset.rounds || 0) === rounds) return;
      token.dataset.rounds = rounds;
      token.dispatchEvent(new Event("rounds", { bubbles: true }));
    }

    input.addEventListener("change", show);
    counter.addEventListener("counted", ({ detail }) => { if (!input.files.length) tellRounds(detail); });
    field.addEventListener("change", () => { // not where it is asked already: that comes as one of the answers is pressed
      if (input.files.length && isTyped() && !output.querySelector(".buttons")) show();
    });
    if (input.files.length) show(); // a browser may bring the file back with the page

    let depth = 0; // of elements that are dragged over, one within the other
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    const mark = (change) => form.classList.toggle("dropping", (depth = Math.max(0, change)) > 0);
    addEventListener("dragenter", (event) => { if (holdsFiles(event)) mark(depth + 1); });
    addEventListener("dragleave", (event) => { if (holdsFiles(event)) mark(depth - 1); });
    addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
    addEventListener("drop", (event) => { // missed, it must not open the file in the place of the form
      if (!holdsFiles(event)) return;
      event.preventDefault();
      mark(0);
      if (event.dataTransfer.files.length !== 1) return output.replaceChildren(element("p", "Drop one file at a time."));
      input.files = event.dataTransfer.files;
      show();
    });
  }

  document.querySelectorAll("[data-file]").forEach(watchFile);
}
