/** Runs at most once per `ms`: at once for the first call, and once more at the end of the wait when calls came meanwhile, so that the last is never lost. */
export function throttled(run: () => void, ms: number): () => void {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  let again = false;
  const go = (): void => {
    again = false;
    run();
    waiting = setTimeout(() => {
      waiting = undefined;
      if (again) go();
    }, ms);
  };
  return () => {
    if (waiting === undefined) go();
    else again = true;
  };
}
