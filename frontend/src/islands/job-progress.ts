export function mountJobProgress(_root: HTMLElement, _props: never): void {}
