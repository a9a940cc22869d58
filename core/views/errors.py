"""Errors as a page that helps, or as a problem when a program asked."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.api.problems import problem_response


def _answer(request: HttpRequest, status: int, code: str, detail: str, template: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem_response(status, code, detail)
    context = {"exception": detail, "request_path": request.path, "request_id": getattr(request, "request_id", "")}
    return render(request, template, context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "bad_request", "This request cannot be understood.", "400.html")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "permission_denied", str(exception), "403.html")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "not_found", "There is no such thing.", "404.html")


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500, "server_error", "Something in Dreamfork broke; it has been logged.", "500.html")
