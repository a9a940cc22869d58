"""The websocket that says "topic T changed, up to id N"; what changed is read over HTTP."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from core.events import group_name, last_id, topic_allowed

_LOOK_EVERY_S = 15.0  # heals lost pings, and keeps proxies from closing an idle connection
NOT_ALLOWED = 4403


class EventsConsumer(AsyncJsonWebsocketConsumer):
    """`/ws/events/?topic=T`: sends `{"topic": T, "last": N}` on connect and on every change."""

    topic = ""
    _clock: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        topic = query.get("topic", [""])[0]
        await self.accept()  # a close code reaches the page only after accepting
        if not await database_sync_to_async(topic_allowed)(self.scope.get("user"), topic):
            await self.close(NOT_ALLOWED)
            return
        self.topic = topic
        await self.channel_layer.group_add(group_name(topic), self.channel_name)
        self._clock = asyncio.create_task(self._look())

    async def disconnect(self, code: int) -> None:
        if self._clock is not None:
            self._clock.cancel()
        if self.topic:
            with suppress(Exception):  # the broker may be what closed it
                await self.channel_layer.group_discard(group_name(self.topic), self.channel_name)

    async def topic_changed(self, message: dict[str, Any]) -> None:
        await self.send_json({"topic": message["topic"], "last": message["last"]})

    async def _look(self) -> None:
        while True:
            await self.send_json({"topic": self.topic, "last": await database_sync_to_async(last_id)(self.topic)})
            await asyncio.sleep(_LOOK_EVERY_S)
