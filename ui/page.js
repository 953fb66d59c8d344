// What a page of ours needs beyond Gradio: buttons that report their data-act, and folds that stay as people left them.
// Runs once for each gr.HTML; Gradio hands in element, trigger and watch.
const folds = new Map();
element.addEventListener("click", (event) => {
  const fold = event.target.closest("summary")?.parentElement;
  if (fold?.dataset.fold) folds.set(fold.dataset.fold, !fold.open);
  const button = event.target.closest("[data-act]:not(form)");
  if (!button || button.disabled) return;
  event.preventDefault();
  if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) return;
  trigger("click", { ...button.dataset });
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const text = form.elements.text.value.trim();
  if (!text && form.dataset.empty === undefined) return;
  const fold = form.closest("details");
  if (fold?.matches(".edit, .more")) { fold.open = false; folds.set(fold.dataset.fold, false); }
  trigger("click", { ...form.dataset, text });
  if (form.dataset.act === "reply") form.reset();
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && event.target.matches("form textarea, form input")) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});
let asked = null;
watch("value", () => {
  for (const fold of element.querySelectorAll("details[data-fold]"))
    if (folds.has(fold.dataset.fold)) fold.open = folds.get(fold.dataset.fold);
  const now = element.querySelector(".ask .question")?.textContent ?? null;
  if (now && now !== asked && element.querySelector(".ask .chip") && matchMedia("(hover: hover)").matches)
    document.querySelector("#composer textarea")?.focus({ preventScroll: true });
  asked = now;
});
