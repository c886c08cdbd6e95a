"use strict";
// The sound is kept once, as text; a Blob of it is what browsers can jump about in.
const sound = document.getElementById("sound");
const player = document.querySelector(".player");
const strip = document.querySelector(".inner");
const [whole, near] = document.querySelectorAll(".cursor");
const turns = [...document.querySelectorAll("#turns > li")];
const { duration, peak } = player.dataset;
const kept = document.getElementById("mp3");
const bytes = Uint8Array.from(atob(kept.textContent), (c) => c.charCodeAt(0));
kept.remove();
sound.src = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));

function listen(seconds) {
  sound.currentTime = Math.min(Math.max(seconds, 0), duration);
  sound.play().catch(() => {}); // another click came first
}

function isSeen(element) {
  const box = element.getBoundingClientRect();
  return box.bottom > player.getBoundingClientRect().bottom && box.top < innerHeight;
}

// Follows the sound, but not where its reader has gone to read elsewhere.
function show(jumped) {
  const now = sound.currentTime;
  const x = now / peak, left = strip.scrollLeft, width = strip.clientWidth;
  whole.style.left = `${(100 * now) / duration}%`;
  const before = parseFloat(near.style.left) || 0;
  near.style.left = `${x}px`;
  if (jumped ? x < left || x > left + width : before >= left && before <= left + width) {
    if (x < left || x > left + 0.8 * width) strip.scrollLeft = x - 0.2 * width;
  }
  let following = jumped;
  for (const turn of turns) {
    const isNow = turn.dataset.start <= now && now < turn.dataset.end;
    if (turn.hasAttribute("aria-current") && !isNow) turn.removeAttribute("aria-current");
    if (isNow && !turn.hasAttribute("aria-current")) {
      const last = turns[turns.indexOf(turn) - 1];
      turn.setAttribute("aria-current", "true");
      if (following || (last && isSeen(last))) turn.scrollIntoView({ block: "nearest" });
    }
  }
}
sound.addEventListener("timeupdate", () => show(false));
sound.addEventListener("seeking", () => show(true));

document.getElementById("turns")?.addEventListener("click", (event) => {
  const from = event.target.closest("[data-start]");
  if (from && getSelection().isCollapsed) listen(Number(from.dataset.start));
});
for (const wave of document.querySelectorAll(".wave")) {
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    listen(((event.clientX - box.left) / box.width) * wave.viewBox.baseVal.width * peak);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.target.closest("audio, button") || event.altKey || event.ctrlKey || event.metaKey) return;
  const step = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
  if (step) sound.currentTime = Math.min(Math.max(sound.currentTime + step, 0), duration);
  else if (event.key === " ") sound.paused ? listen(sound.currentTime) : sound.pause();
  else return;
  event.preventDefault();
});
