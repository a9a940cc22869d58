export function mountRolloutViewer(_root: HTMLElement, _props: never): void {}
