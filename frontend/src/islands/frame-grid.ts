export function mountFrameGrid(_root: HTMLElement, _props: never): void {}
