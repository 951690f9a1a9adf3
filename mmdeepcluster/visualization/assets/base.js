"use strict";
/* Shared by all pages: their data, and the choice of light or dark. */
function pageData(name) {
  const held = document.getElementById("data-" + name);
  return held ? JSON.parse(held.textContent) : null;
}

/* A button with data-scheme-switch goes from the scheme of the system to the other one and back. */
document.querySelectorAll("[data-scheme-switch]").forEach((button) => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => document.documentElement.dataset.scheme || (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = shown() === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.scheme = shown() === "dark" ? "light" : "dark";
    label();
    document.dispatchEvent(new Event("schemechange"));
  });
  dark.addEventListener("change", () => { label(); document.dispatchEvent(new Event("schemechange")); });
  label();
});
