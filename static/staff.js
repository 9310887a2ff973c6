// Landmarks that Unfold's pages lack: what is the page, and which scrolling part is which.
addEventListener("load", () => {
  const main = document.getElementById("main");
  if (main) main.setAttribute("role", "main");
  const side = document.getElementById("nav-sidebar-inner");
  if (side) side.setAttribute("aria-label", "All staff pages");
  document.querySelectorAll(".simplebar-content-wrapper").forEach((part, number) => {
    part.setAttribute("aria-label", part.closest("nav, #nav-sidebar") ? "Navigation" : `Scrolling part ${number + 1}`);
  });
});
