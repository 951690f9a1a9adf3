"use strict";
/* Which of the own images is followed, and where on the page one is. */
(() => {
  const root = document.documentElement;
  const picks = [...document.querySelectorAll("[data-pick]")];
  const panels = [...document.querySelectorAll(".own")];
  const sprite = document.querySelector("main").style.getPropertyValue("--sprite");
  document.querySelector("nav.top").style.setProperty("--sprite", sprite);

  function follow(index) {
    panels.forEach((panel) => panel.classList.toggle("chosen", Number(panel.dataset.own) === index));
    picks.forEach((pick) => pick.setAttribute("aria-pressed", String(Number(pick.dataset.pick) === index)));
  }
  picks.forEach((pick, place) => {
    pick.addEventListener("click", () => follow(Number(pick.dataset.pick)));
    pick.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = picks[(place + step + picks.length) % picks.length];
      next.focus();
      next.click();
    });
  });
  root.classList.add("js");
  follow(0);

  /* On a narrow page the list of stages is closed at first. */
  const outline = document.querySelector(".outline");
  if (outline && matchMedia("(max-width: 1059px)").matches) outline.open = false;

  const links = new Map([...document.querySelectorAll(".outline a")].map((a) => [a.hash.slice(1), a]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("section.stage").forEach((section) => watcher.observe(section));
})();
