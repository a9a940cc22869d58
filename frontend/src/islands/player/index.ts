import { personOnPage } from "../../lib/csrf";
import { Player } from "./player";

interface PlayerProps {
  api?: string;
  sign_in_url?: string;
  guide_url?: string;
  stats_url?: string;
  worker_url?: string;
}

/** The comparison page. */
export function mountPlayer(root: HTMLElement, props: PlayerProps): () => void {
  const player = new Player(root, {
    api: props.api ?? "/api/v1/labeling/",
    signInUrl: props.sign_in_url ?? "/sign-in/",
    guideUrl: props.guide_url ?? "",
    statsUrl: props.stats_url ?? "",
    workerUrl: props.worker_url ?? "",
    person: personOnPage(),
  });
  void player.start();
  return () => player.stop();
}
