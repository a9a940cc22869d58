"""A limit on writes per person, shared by all web processes through the cache."""

from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

if TYPE_CHECKING:
    from rest_framework.views import APIView

log = structlog.get_logger(__name__)


class WriteThrottle(UserRateThrottle):
    scope = "write"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if request.method in SAFE_METHODS:
            return True
        try:
            return super().allow_request(request, view)
        except RedisError as error:
            # Better to serve unlimited for a while than to refuse people's work because the cache is away.
            log.warning("throttle.skipped", reason=str(error))
            return True
