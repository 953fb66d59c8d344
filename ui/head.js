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
  arrive() {
    // On a phone the list would lie over the conversation.
    if (innerWidth < 768) document.querySelector("#side.open .toggle-button")?.click();
  },
  tab(name) {
    for (const tab of document.querySelectorAll("[role=tab]")) if (tab.textContent.trim() === name) tab.click();
  },
  save(file) {
    if (!file) return;
    const link = Object.assign(document.createElement("a"), { download: file.name });
    link.href = URL.createObjectURL(new Blob([file.text], { type: "text/plain" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  },
  address(session) {
    const url = new URL(location);
    if (session) url.searchParams.set("session", session);
    else url.searchParams.delete("session");
    if (url.href !== location.href) history.replaceState(null, "", url);
  },
};
