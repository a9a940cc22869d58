export function mountPlayer(_root: HTMLElement, _props: never): void {}
