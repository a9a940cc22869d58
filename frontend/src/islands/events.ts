export function mountEvents(_root: HTMLElement, _props: never): void {}
