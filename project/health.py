"""Whether this process answers. It asks nobody, so that it answers when others don't."""

from django.http import HttpRequest, JsonResponse


def health(_request: HttpRequest) -> JsonResponse:
    """Answer `"OK"`."""
    return JsonResponse("OK", safe=False)
