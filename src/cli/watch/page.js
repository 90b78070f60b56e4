"use strict";
// Shows the server's events: the section's text when it is saved, outputs as they come, errors under their cells.
const byId = (id) => document.getElementById(id);
const [section, state, time, stop] = ["section", "state", "time", "stop"].map(byId);
let since = performance.now();

const box = (cell, name) => {
  let found = cell.querySelector(`:scope > .${name}`);
  if (!found) {
    found = document.createElement("div");
    found.className = name;
    cell.append(found);
  }
  return found;
};

const show = ({ id, html, old }) => {
  const cell = byId(id);
  if (!cell) return;
  const outputs = box(cell, "outputs");
  outputs.innerHTML = html;
  outputs.classList.toggle("old", old);
  if (!html) outputs.remove();
};

const clear = (selector) => document.querySelectorAll(selector).forEach((element) => element.remove());

const on = {
  text({ name, html, outputs, changed }) {
    byId("name").textContent = document.title = name;
    section.innerHTML = html;
    byId("elsewhere").replaceChildren();
    outputs.forEach(show);
    if (changed) {
      byId(changed).classList.add("changed");
      byId(changed).scrollIntoView({ block: "center" });
    }
  },
  outputs: show,
  running({ id }) {
    clear(".fits");
    document.querySelectorAll(".running").forEach((cell) => cell.classList.remove("running"));
    byId(id)?.classList.add("running");
  },
  fits({ text }) {
    const cell = document.querySelector(".running");
    if (cell) box(cell, "fits").textContent = text;
  },
  faults({ faults }) {
    clear(".fault");
    for (const { id, text } of faults) {
      const fault = document.createElement("div");
      fault.className = "fault";
      fault.setAttribute("role", "alert");
      fault.textContent = text;
      (byId(id) ?? byId("elsewhere")).append(fault);
    }
    document.querySelector(".fault")?.scrollIntoView({ block: "nearest" });
  },
  state({ state: name, text }) {
    state.textContent = state.dataset.state = name;
    time.textContent = text;
    stop.disabled = name !== "running";
    since = performance.now();
    if (name !== "running") {
      clear(".fits");
      document.querySelectorAll(".running").forEach((cell) => cell.classList.remove("running"));
    }
  },
};

setInterval(() => {
  if (["building", "running"].includes(state.dataset.state)) {
    time.textContent = `${((performance.now() - since) / 1000).toFixed(1)} s`;
  }
}, 100);

const events = new EventSource("events");
events.onmessage = ({ data }) => {
  const told = JSON.parse(data);
  on[told.event]?.(told);
};
events.onerror = () => {
  state.textContent = "watch has ended, or cannot be reached";
  state.dataset.state = "failed";
  stop.disabled = true;
};
stop.onclick = () => fetch("stop", { method: "POST" });
byId("again").onclick = () => fetch("again", { method: "POST" });
