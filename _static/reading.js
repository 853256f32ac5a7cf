// In the header of a chapter: which of its sections is in sight, and how much is left to read.
// The page says how many minutes it takes to read up to its exercises; see say_where in
// tools/book_extension.py. What is left is estimated from the height of what is below.
document.addEventListener("DOMContentLoaded", () => {
  const where = document.querySelector(".where[data-minutes]");
  const start = document.querySelector(".header-article-items__start");
  const sections = [...document.querySelectorAll("article > section > section")];
  const end = sections.findIndex((section) => section.id.startsWith("exercises"));
  if (!where || !start || end < 1) return;
  const line = document.createElement("span");
  line.className = "reading";
  const [place, left] = [document.createElement("span"), document.createElement("span")];
  line.append(place, left);
  start.after(line);

  const top = (element) => element.getBoundingClientRect().top;
  const update = () => {
    const eye = innerHeight / 3;
    const height = top(sections[end]) - top(where);
    const minutes = Math.ceil((where.dataset.minutes * (top(sections[end]) - eye)) / height);
    const atEnd = scrollY + innerHeight > document.documentElement.scrollHeight - 10;
    const seen = sections.findLastIndex((section) => top(section) < eye) + 1;
    const number = atEnd ? sections.length : seen;
    const unit = minutes === 1 ? "minute" : "minutes";
    place.textContent = number > 0 ? `Section ${number} of ${sections.length}` : "";
    left.textContent = minutes > 0 ? `${minutes} ${unit} left` : "";
    line.classList.toggle("both", number > 0 && minutes > 0);
  };
  let waiting = false;
  const soon = () => {
    if (!waiting) requestAnimationFrame(() => ((waiting = false), update()));
    waiting = true;
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  update();
});
