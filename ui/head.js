// Loaded once, in the page's head: what Gradio's own events call.
window.pir = {
  theme(chosen) {
    const dark = chosen === "Dark" || (chosen === "System" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.body.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
  },
  show(what, on) {
    document.body.classList.toggle(`no-${what}`, !on);
  },
  address(session) {
    const url = new URL(location);
    if (session) url.searchParams.set("session", session);
    else url.searchParams.delete("session");
    if (url.href !== location.href) history.replaceState(null, "", url);
  },
};
