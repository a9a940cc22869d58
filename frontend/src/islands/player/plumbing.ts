import { ApiError } from "../../lib/api";
import { refreshCsrf } from "../../lib/csrf";
import { afterPaint } from "../../lib/dom";
import { Outbox, type OutboxOptions } from "../../lib/outbox";
import { IndexedDbStore } from "../../lib/outbox-store";
import { someoneElse } from "../../lib/person";
import { decodePair, Feed, type FeedOptions } from "./feed";
import type { Kept } from "./kept";
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

/** The feed of this person. It leases nothing while someone else is signed in (their pairs would be answered here), and asks nothing in their name. */
export function makeFeed(server: LabelingServer, outbox: Outbox, kept: Kept, person: string, told: Pick<FeedOptions, "onBroken" | "onChange">): Feed {
  const asMyself = <T>(ask: () => Promise<T>): Promise<T> =>
    someoneElse(person) ? Promise.reject(new ApiError(403, "", "Someone else is signed in here.", null)) : ask();
  return new Feed({
    next: (count, held) => asMyself(() => server.next(count, [...held, ...outbox.waiting.map(({ lease }) => lease)])),
    heartbeat: (leases) => asMyself(() => server.heartbeat(leases)),
    fetchBlob: (url) => server.blob(url),
    decode: decodePair,
    isAnswered: (lease) => outbox.holdsLease(lease),
    later: afterPaint,
    kept: {
      put: (fetched) => kept.put(fetched),
      drop: (...leases) => kept.drop(...leases),
      takeOver: () => kept.takeOver(),
      release: () => void kept.dropOrphans().then((leases) => server.returnLeases(leases.filter((lease) => !outbox.holdsLease(lease)))),
    },
    ...told,
  });
}

function oneTabAtATime<T>(run: () => Promise<T>): Promise<T> {
  return navigator.locks ? (navigator.locks.request("dreamfork-outbox", run) as Promise<T>) : run();
}
