"use strict";
// A line is hidden by what was typed, never moved; a group without lines in sight is hidden with its heading.
for (const box of document.querySelectorAll("input.filter")) {
  const table = document.getElementById(box.dataset.table);
  const told = box.parentElement.querySelector("output");
  box.addEventListener("input", () => {
    const word = box.value.trim().toLowerCase();
    let shown = 0, all = 0;
    for (const body of table.tBodies) {
      let left = 0;
      const heading = [...body.rows].filter((line) => line.classList.contains("group"));
      for (const line of body.rows) {
        if (line.classList.contains("group")) continue;
        const text = line.textContent.toLowerCase().replace(/\s+/g, " ");
        line.hidden = word !== "" && !text.includes(word);
        left += !line.hidden;
        all += 1;
      }
      for (const line of heading) line.hidden = left === 0;
      shown += left;
    }
    told.textContent = word === "" ? "" : `${shown} of ${all} lines`;
  });
}
// Sorting stays within a group, so that controls never mix with what they control.
for (const button of document.querySelectorAll("button.sort")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = button.closest("table"), column = head.cellIndex;
    const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const lines = [...body.rows].filter((line) => !line.classList.contains("group"));
      const number = (line) => parseFloat(line.cells[column].dataset.value);
      // A column of words, such as names, is in alphabetical order.
      const words = lines.every((line) => Number.isNaN(number(line)));
      const key = (line) => (words ? line.cells[column].textContent.trim() : number(line));
      lines.sort((a, b) => {
        const x = key(a), y = key(b);
        if (words) return sign * x.localeCompare(y);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      });
      body.append(...lines);
    }
  });
}
for (const box of document.querySelectorAll(".toggles input")) {
  const show = () => {
    for (const cell of document.querySelectorAll(`#images [data-column="${box.dataset.column}"]`)) {
      cell.classList.toggle("off", !box.checked);
    }
  };
  box.addEventListener("change", show);
  show();
}
// The dialog shows one line of images large; arrows go to the line before and after.
const large = document.getElementById("large");
const lines = [...document.querySelectorAll(".enlarge")];
let place = -1;
const enlarge = (button) => {
  const titles = button.closest("table").querySelectorAll("thead th");
  const panes = large.querySelector(".panes");
  place = lines.indexOf(button);
  panes.replaceChildren();
  large.querySelector("h3").textContent = button.textContent;
  for (const cell of button.closest("tr").querySelectorAll("td:not(.off)")) {
    if (!cell.firstElementChild) continue;
    const pane = document.createElement("figure"), text = document.createElement("figcaption");
    text.textContent = titles[cell.cellIndex].textContent;
    pane.append(cell.firstElementChild.cloneNode(true), text);
    panes.append(pane);
  }
};
for (const button of lines) {
  button.addEventListener("click", () => {
    enlarge(button);
    large.showModal();
  });
}
if (large) {
  large.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = step && lines[place + step];
    if (!next) return;
    event.preventDefault();
    enlarge(next);
  });
  large.addEventListener("close", () => lines[place]?.focus());
}
// Where a browser gives a page from disk no clipboard, the text is selected for the reader to copy.
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.text);
    const told = button.parentElement.querySelector("output");
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      told.textContent = "copied";
    } catch {
      told.textContent = "selected: copy it now";
    }
  });
}
