// Runs before the first paint, so that a page never flashes in the other theme. A policy without
// inline scripts leaves no other way than a small blocking file.
(() => {
  try {
    const chosen = localStorage.getItem("triage.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden. The theme of the system is then right.
  }
})();
