// Runs before the first paint: a theme chosen by the person wins over the system's.
(function () {
  try {
    var theme = localStorage.getItem("dreamfork.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (error) {
    // Storage may be blocked; the system's preference is used then.
  }
})();
