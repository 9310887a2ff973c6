// The sign-in page of a link presses its own button, in a tab that somebody looks at. What merely fetches the link
// (a mail scanner, a preview) uses nothing up; without scripts the button is there.
"use strict";
(() => {
  const form = document.querySelector("form[data-enter]");
  const press = () => {
    if (document.visibilityState !== "visible" || form.dataset.enter === "pressed") return;
    form.dataset.enter = "pressed";
    form.requestSubmit();
  };
  if (!form) return;
  document.addEventListener("visibilitychange", press);
  press();
})();
