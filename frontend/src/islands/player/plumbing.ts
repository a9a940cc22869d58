import { ApiError } from "../../lib/api";
import { refreshCsrf } from "../../lib/csrf";
import { afterPaint } from "../../lib/dom";
import { Outbox, type OutboxOptions } from "../../lib/outbox";
import { IndexedDbStore } from "../../lib/outbox-store";
import { someoneElse } from "../../lib/person";
import { decodePair, Feed, type FeedOptions } from "./feed";
import type { LabelingServer } from "./server";

/** The outbox of this person in this browser, sending to this server. */
export function makeOutbox(server: LabelingServer, person: string, told: Required<Pick<OutboxOptions, "onSent" | "onRefused" | "onChange">>): Outbox {
  return new Outbox({
    person,
    store: new IndexedDbStore(),
    send: (entry) => server.send(entry),
    whoAmI: async () => (await refreshCsrf()).person,
    isMe: () => !someoneElse(person),
    exclusive: oneTabAtATime,
    ...told,
  });
}

/** The feed of this person. It leases nothing while someone else is signed in: their pairs would be answered here. */
export function makeFeed(server: LabelingServer, outbox: Outbox, person: string, told: Pick<FeedOptions, "onBroken" | "onChange">): Feed {
  return new Feed({
    next: async (count) => {
      if (someoneElse(person)) throw new ApiError(403, "", "Someone else is signed in here.", null);
      return server.next(count);
    },
    heartbeat: (lease) => server.heartbeat(lease),
    fetchBlob: (url) => server.blob(url),
    decode: decodePair,
    isAnswered: (lease) => outbox.holdsLease(lease),
    later: afterPaint,
    ...told,
  });
}

function oneTabAtATime<T>(run: () => Promise<T>): Promise<T> {
  return navigator.locks ? (navigator.locks.request("dreamfork-outbox", run) as Promise<T>) : run();
}
