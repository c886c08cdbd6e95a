"use strict";
// The sound is kept once, as text; a Blob of it is what browsers can jump about in.
const sound = document.getElementById("sound");
const player = document.querySelector(".player");
const strip = document.querySelector(".inner");
const [whole, near] = document.querySelectorAll(".cursor");
const turns = [...document.querySelectorAll("#turns > li")];
const { duration, peak } = player.dataset;
const kept = document.getElementById("mp3");
const binary = atob(kept.textContent);
kept.remove();
const bytes = new Uint8Array(binary.length);
for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
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
  whole.style.left = `${(100 * now) / duration}%`;
  if (strip) {
    const x = now / peak, left = strip.scrollLeft, width = strip.clientWidth;
    const was = parseFloat(near.style.left) || 0;
    const follows = jumped || (left <= was && was <= left + width);
    near.style.left = `${x}px`;
    if (follows && (x < left || x > left + 0.8 * width)) strip.scrollLeft = x - 0.2 * width;
  }
  turns.forEach((turn, place) => {
    const isNow = turn.dataset.start <= now && now < turn.dataset.end;
    if (isNow === turn.hasAttribute("aria-current")) return;
    if (isNow) turn.setAttribute("aria-current", "true");
    else turn.removeAttribute("aria-current");
    const follows = jumped || isSeen(turns[Math.max(place - 1, 0)]);
    if (isNow && follows) turn.scrollIntoView({ block: "nearest" });
  });
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
  if (event.target.closest("audio") || event.altKey || event.ctrlKey || event.metaKey) return;
  const step = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
  if (step) sound.currentTime = Math.min(Math.max(sound.currentTime + step, 0), duration);
  else if (event.key === " ") sound.paused ? listen(sound.currentTime) : sound.pause();
  else return;
  event.preventDefault();
});
// A turn that Enter has begun is paused by Space, which would else begin it again.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest("button")) event.preventDefault();
});
