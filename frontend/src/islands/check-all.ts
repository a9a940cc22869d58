/**
 * A form that acts on the ticked boxes of a list (`<input type="checkbox" form="its id">`). In it, the box `[data-all]` ticks
 * all of them, `[data-count]` says how many are, and `[data-needs-some]` buttons are off while there is none.
 */
export function mountCheckAll(root: HTMLElement): () => void {
  const form = root as HTMLFormElement;
  const all = form.querySelector<HTMLInputElement>("[data-all]");
  const count = form.querySelector("[data-count]");
  const boxes = (): HTMLInputElement[] => [...form.elements].filter((one): one is HTMLInputElement => one instanceof HTMLInputElement && one.type === "checkbox" && one !== all);

  const draw = (): void => {
    const found = boxes();
    const ticked = found.filter((one) => one.checked).length;
    if (all) {
      all.checked = ticked > 0 && ticked === found.length;
      all.indeterminate = ticked > 0 && ticked < found.length;
    }
    if (count) count.textContent = ticked ? `${ticked} ticked` : "";
    for (const button of form.querySelectorAll<HTMLButtonElement>("[data-needs-some]")) button.disabled = ticked === 0;
  };
  // The boxes stand outside the form's element, so their events are heard on the document.
  const onChange = (event: Event): void => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement) || box.form !== form) return;
    if (box === all) for (const one of boxes()) one.checked = all.checked;
    draw();
  };
  document.addEventListener("change", onChange);
  draw();
  return () => document.removeEventListener("change", onChange);
}
