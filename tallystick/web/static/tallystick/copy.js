// Copies the text of [data-copy]. Without it, a click on the text still selects all of it.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const name = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = name; }, 1500);
});
