"use strict";
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const block = document.getElementById(button.dataset.copy);
    const range = document.createRange();
    range.selectNodeContents(block);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try { await navigator.clipboard.writeText(block.textContent); } catch { document.execCommand("copy"); }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
const keys = [...document.querySelectorAll(".chainkey")];
for (const key of keys) {
  key.addEventListener("click", () => {
    const on = key.getAttribute("aria-pressed") !== "true";
    for (const other of keys) other.setAttribute("aria-pressed", String(on && other === key));
    for (const path of document.querySelectorAll("path.chain"))
      if (!path.closest(".choice")) path.classList.toggle("faint", on && path.dataset.chain !== key.dataset.chain);
  });
}
if (keys.length > 3) keys[0].click();  // many chains at once are a thicket: the first one is shown, the others faint
const dots = [...document.querySelectorAll(".dot")];
const choose = (number) => {
  for (const dot of dots) dot.setAttribute("aria-checked", String(dot.dataset.choice === number));
  for (const part of document.querySelectorAll(".choice")) part.hidden = part.id !== `choice-${number}`;
};
for (const dot of dots) {
  dot.addEventListener("click", () => choose(dot.dataset.choice));
  dot.addEventListener("keydown", (event) => {
    const row = [...dot.parentNode.querySelectorAll(".dot")], at = row.indexOf(dot);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = row[(at + step + row.length) % row.length];
      next.focus();
      choose(next.dataset.choice);
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      choose(dot.dataset.choice);
      event.preventDefault();
    }
  });
}
if (dots.length) choose("0");
