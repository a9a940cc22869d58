export function mountChart(_root: HTMLElement, _props: never): void {}
