// Runs before the first paint, so that a chosen theme and a folded rail never flash.
(() => {
  const read = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const paint = () => {
    const choice = read("theme");
    root.dataset.bsTheme = choice === "light" || choice === "dark" ? choice : dark.matches ? "dark" : "light";
  };
  paint();
  const rail = read("rail");
  if (rail === "folded" || (rail !== "open" && innerWidth < 1100)) root.dataset.rail = "folded";
  dark.addEventListener("change", paint);
  addEventListener("storage", paint);
  addEventListener("muster:theme", paint);
})();
