// The workbench by keyboard, and what marked lines come to. Everything works without it too.
"use strict";

(() => {
  const rows = [...document.querySelectorAll("[data-keys] a[data-row]")];
  const isTyping = (target) => /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
  document.addEventListener("keydown", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && document.getElementById("search")) {
      event.preventDefault();
      document.getElementById("search").focus();
      return;
    }
    const by = { j: 1, k: -1 }[event.key];
    if (!by || rows.length === 0) return;
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
    next.focus();
  });

  const form = document.querySelector("form[data-match]");
  if (!form) return;
  const scale = Number(form.dataset.scale);
  // Minor units are whole and may pass 2^53 when summed: BigInt, and no float anywhere.
  const shown = (minor) => {
    const sign = minor < 0n ? "\u2212" : "";
    const digits = String(minor < 0n ? -minor : minor).padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale).replace(/\B(?=(\d{3})+$)/g, ",");
    return sign + whole + (scale ? "." + digits.slice(-scale) : "");
  };
  const tell = () => {
    const sums = { bank: 0n, ledger: 0n };
    for (const box of form.querySelectorAll("input[data-minor]:checked")) {
      sums[box.dataset.side] += BigInt(box.dataset.minor);
    }
    const figures = { ...sums, difference: sums.bank - sums.ledger };
    for (const place of form.querySelectorAll("[data-sum]")) {
      place.textContent = shown(figures[place.dataset.sum]);
    }
  };
  form.addEventListener("change", tell);
  tell();
})();
