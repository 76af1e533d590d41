"use strict";
// Sorting stays within a group, so that controls never mix with what they control.
for (const button of document.querySelectorAll("button.sort")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = button.closest("table"), column = head.cellIndex;
    const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const lines = [...body.rows].filter((line) => !line.classList.contains("group"));
      const key = (line) => {
        const cell = line.cells[column];
        return column === 0 ? cell.textContent.trim() : parseFloat(cell.dataset.value);
      };
      lines.sort((a, b) => {
        const x = key(a), y = key(b);
        if (column === 0) return sign * x.localeCompare(y);
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
const large = document.getElementById("large");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const titles = document.querySelectorAll("#images thead th");
    const panes = large.querySelector(".panes");
    panes.replaceChildren();
    large.querySelector("h3").textContent = button.textContent;
    for (const cell of button.closest("tr").querySelectorAll("td:not(.off)")) {
      const pane = document.createElement("figure"), text = document.createElement("figcaption");
      text.textContent = titles[cell.cellIndex].textContent;
      pane.append(cell.firstElementChild.cloneNode(true), text);
      panes.append(pane);
    }
    large.showModal();
  });
}
