"""One simulated annotator at the real HTTP API: signs in by link, leases, looks, answers, and loses nothing when the server goes away."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field

import httpx
import numpy as np

from rollouts.images import png_decode, sprite_frames

from .judge import Judge, Verdict
from .teacher import Teacher

API = "/api/v1/labeling/"
PATIENCE_S = 120
BACKOFF_S = (0.1, 0.2, 0.5, 1, 2)


@dataclass
class Outcome:
    """What one annotator did. Times in seconds, of requests that were answered at the first try."""

    answered: list[str] = field(default_factory=list)
    """Keys of choices that the server acknowledged."""
    skipped: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    next_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    stopped: str = ""


class Clips:
    """Verdicts by clip and prompt, shared by all annotators of a process: a clip is fetched and read once."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._verdicts: dict[tuple[str, str], asyncio.Task[Verdict]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def verdict(self, client: SimulatedAnnotator, url: str, assignment: dict) -> Verdict:
        key = (url, assignment["prompt"])
        if key not in self._verdicts or (self._verdicts[key].done() and self._verdicts[key].exception()):
            self._verdicts[key] = asyncio.create_task(self._look(client, url, assignment))
        return await self._verdicts[key]

    async def _look(self, client: SimulatedAnnotator, url: str, assignment: dict) -> Verdict:
        image = await client.fetch(url)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._read, image, assignment)

    def _read(self, image: bytes, assignment: dict) -> Verdict:
        columns = assignment["left"]["columns"]
        frames = sprite_frames(png_decode(image), assignment["frame_count"], assignment["height"], assignment["width"], columns)
        return self.judge.look(frames, assignment["prompt"])


class SimulatedAnnotator:
    """`await SimulatedAnnotator(http, link, teacher, clips, seed).work(choices=100)`."""

    def __init__(self, http: httpx.AsyncClient, link: str, teacher: Teacher, clips: Clips, seed: int) -> None:
        self.http, self.link, self.teacher, self.clips = http, link, teacher, clips
        self.rng = np.random.default_rng(seed)
        self.outcome = Outcome()

    async def sign_in(self) -> None:
        """Follow a one-time link as a person does: the page, then its button."""
        (await self._send("GET", self.link)).raise_for_status()
        answer = await self._send("POST", self.link)
        if not answer.is_redirect:
            raise PermissionError(f"the sign-in link was not accepted ({answer.status_code})")

    async def work(self, *, choices: int | None = None, until: float | None = None, ahead: int = 2, wait: bool = False) -> Outcome:
        """Answer up to `choices` pairs, or until time.monotonic() reaches `until`, or until there is nothing left.

        wait: keep asking when everything is leased or done, instead of stopping.
        """
        while self._goes_on(choices, until):
            began = time.monotonic()
            tries = self.outcome.retried
            response = await self._send("POST", API + "next/", json={"count": ahead})
            response.raise_for_status()
            if tries == self.outcome.retried:
                self.outcome.next_s.append(time.monotonic() - began)
            found = response.json()
            if found["status"] != "ok":
                self.outcome.stopped = found["status"]
                if not wait and found["status"] != "all_leased":
                    break
                await asyncio.sleep(1)
                continue
            spare = []
            for assignment in found["assignments"]:
                if self._goes_on(choices, until):
                    await self._answer(assignment)
                else:
                    spare.append(assignment["lease"])
            if spare:
                await self._send("POST", API + "leases/return/", json={"leases": spare})
        return self.outcome

    async def fetch(self, url: str) -> bytes:
        response = await self._send("GET", url)
        response.raise_for_status()
        return response.content

    def _goes_on(self, choices: int | None, until: float | None) -> bool:
        enough = choices is not None and len(self.outcome.answered) >= choices
        return not enough and (until is None or time.monotonic() < until)

    async def _answer(self, assignment: dict) -> None:
        began = time.monotonic()
        left, right = [await self.clips.verdict(self, assignment[side]["sprite_url"], assignment) for side in ("left", "right")]
        body = {"lease": assignment["lease"], **self.teacher.answer(left, right, self.rng)}
        if "skip" in body:
            response = await self._send("POST", API + "skips/", json={"lease": body["lease"], "reason": body["skip"]})
            self.outcome.skipped += response.is_success
            return
        spent = round((time.monotonic() - began) * 1000)
        body |= {"response_ms": spent, "visible_ms": spent, "client": {"app": "simulate", "teacher": self.teacher.to_dict()}}
        # One key for this answer, however often it has to be sent. Not from the seed: another run with the same seed gives other answers.
        key = str(uuid.uuid4())
        sent, tries = time.monotonic(), self.outcome.retried
        response = await self._send("POST", API + "choices/", json=body, headers={"Idempotency-Key": key})
        if response.is_success:
            if tries == self.outcome.retried:
                self.outcome.submit_s.append(time.monotonic() - sent)
            self.outcome.answered.append(response.json()["choice"])
        elif response.status_code == 409:
            code = response.json().get("code", "conflict")
            self.outcome.refused[code] = self.outcome.refused.get(code, 0) + 1
        else:
            response.raise_for_status()

    async def _send(self, method: str, url: str, **options) -> httpx.Response:
        """Until the server answers: no answer, 429 and 5xx are tried again for up to two minutes."""
        headers = dict(options.pop("headers", {}))
        give_up = time.monotonic() + PATIENCE_S
        attempt = 0
        while True:
            if method == "POST" and (token := self.http.cookies.get("csrftoken")):
                headers["X-CSRFToken"] = token
            try:
                response = await self.http.request(method, url, headers=headers, **options)
                if response.status_code != 429 and response.status_code < 500:
                    return response
                problem = f"{response.status_code} from {url}"
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            if time.monotonic() > give_up:
                raise TimeoutError(f"the server does not answer: {problem}")
            self.outcome.retried += 1
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1
