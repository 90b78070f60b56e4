"use strict";
const wide = matchMedia("(min-width: 68rem)");
const contents = document.querySelector("nav.contents");
const details = contents.querySelector("details");
const links = [...contents.querySelectorAll("a")];
const targets = links.map((link) => document.getElementById(link.hash.slice(1)));

// The contents are open next to the text if there is room, and folded if there is not.
const fold = () => { details.open = wide.matches; };
wide.addEventListener("change", fold);
fold();
contents.addEventListener("click", (event) => {
  if (event.target.closest("a") && !wide.matches) details.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !wide.matches) details.open = false;
});

// The entry of the heading that is being read is marked, and so is its section's.
let waiting = false;
const mark = () => {
  waiting = false;
  const atEnd = scrollY > 0 && scrollY + innerHeight > document.documentElement.scrollHeight - 2;
  const isRead = (target) => atEnd || target.getBoundingClientRect().top < innerHeight / 4;
  const read = targets.findLastIndex(isRead);
  links.forEach((link, i) => {
    if (i === read) link.setAttribute("aria-current", "location");
    else link.removeAttribute("aria-current");
  });
};
addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(mark);
  waiting = true;
}, { passive: true });
mark();
document.documentElement.classList.add("scripted");

// Boxes that scroll can be reached with the keyboard, and so scrolled. All are measured before any is changed, and once
// for all folds that open together: measuring makes the browser lay out the page.
const reachable = () => {
  const boxes = [...document.querySelectorAll("pre, .scroll")];
  const scrolls = boxes.map((box) => box.scrollWidth > box.clientWidth);
  boxes.forEach((box, i) => {
    if (scrolls[i]) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.dataset.label ?? (box.className === "code" ? "Code" : "Output"));
    } else if (box.hasAttribute("role")) {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  });
};
let measuring = false;
const measure = () => {
  if (!measuring) requestAnimationFrame(() => { measuring = false; reachable(); });
  measuring = true;
};
addEventListener("resize", measure);
document.addEventListener("toggle", measure, true);
reachable();

// A box folds or unfolds the code of every cell in one language.
const unfold = (language, open) => {
  for (const fold of document.querySelectorAll(`main details.${language}`)) fold.open = open;
};
for (const box of document.querySelectorAll(".show input")) {
  box.addEventListener("change", () => unfold(box.id, box.checked));
}

// The address that ends in #handout: without code, to print.
const handout = () => {
  if (location.hash !== "#handout") return;
  document.documentElement.classList.add("handout");
  for (const box of document.querySelectorAll(".show input")) box.checked = false;
  for (const language of ["rust", "python", "plumbing"]) unfold(language, false);
};
addEventListener("hashchange", handout);
handout();
