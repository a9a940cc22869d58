/** A form that came back with errors: put the keyboard into the first field that is wrong, and that field into sight. */
export function startFirstError(root: ParentNode = document): void {
  const field = root.querySelector<HTMLElement>('form [aria-invalid="true"]');
  if (!field) return;
  const closed = field.closest<HTMLDetailsElement>("details:not([open])");
  if (closed) closed.open = true;
  field.focus();
}
