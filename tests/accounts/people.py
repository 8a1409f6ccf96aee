"""People of a server in accounts mode, made and named as an operator and their browsers do."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from tests.calm_server import ROUNDS
from tests.databases import ROOT
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server

PASSWORD = "correct horse battery staple"
#: The hash of the password is slow by design: a quick one, and one for all.
_MAKE = f"""
import json, sys
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from knox.models import AuthToken
from settings_app.models import User
from settings_app.roles import role_set
tokens, hashed = {{}}, PBKDF2PasswordHasher().encode({PASSWORD!r}, "salt", {ROUNDS})
for name in ("ada", "bob", "staff", "gone", "viewer", "operator"):
    user = User.objects.create(username=name, password=hashed, is_staff=name == "staff")
    if name in ("viewer", "operator"):
        role_set(username=name, role=name)
    tokens[name] = AuthToken.objects.create(user=user)[1]
print(json.dumps(tokens), flush=True)
sys.stdin.read()
User.objects.get(username="gone").delete()
"""


class People:
    """Ada owns things; Bob is another user; Staff has no role yet; Gone was deleted.

    Viewer and Operator have theirs in the console.
    """

    def __init__(self, server: Server, llm: ScriptedLLMServer) -> None:
        self.server = server
        # One process for all: each start of manage.py takes a second.
        with subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", _MAKE],
            cwd=ROOT,
            env=server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as made:
            assert made.stdout is not None
            self.tokens: dict[str, str] = json.loads(made.stdout.readline())
            self.gone_cookie = self.log_in("gone")
            made.communicate(timeout=60)
        assert made.returncode == 0
        for name in ("ada", "bob", "staff"):
            settings = {
                "llm_model": "openai/scripted",
                "llm_api_key": f"sk-{name}-0123456789",
                "llm_base_url": llm.base_url,
            }
            assert self.call(name, "POST", "/api/settings", settings)[0] == HTTPStatus.OK

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py on this server's database; give what it says."""
        done = subprocess.run(  # noqa: S603  # our own command line
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.server.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, code: str) -> str:
        """Run a few lines on this server's database, as an operator's shell does."""
        return self.manage("shell", "--no-imports", "-c", code)

    def headers(self, name: str) -> dict[str, str]:
        """Give what a script of this person sends; nobody's is empty."""
        return {"Authorization": f"Token {self.tokens[name]}"} if name else {}

    def call(self, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the API as somebody; "" is nobody."""
        return self.server.call(method, path, body, self.headers(name))

    def create(self, name: str, message: str = "") -> str:
        """Create a conversation of somebody's."""
        status, answer = self.call(
            name, "POST", "/api/conversations", {"initial_user_msg": message}
        )
        assert status == HTTPStatus.OK, answer
        return str(answer["conversation_id"])

    def log_in(self, name: str, password: str = PASSWORD) -> str:
        """Log in as a browser does; give the cookie, empty where it was refused."""
        status, headers, _ = self.post_form("/login", username=name, password=password)
        if status != HTTPStatus.FOUND:
            return ""
        cookies = [value for key, value in headers if key.lower() == "set-cookie"]
        found = next(c for c in cookies if c.startswith("sessionid="))
        assert "Secure" in found
        assert "HttpOnly" in found
        return str(found).partition(";")[0]

    def post_form(
        self,
        path: str,
        cookie: str = "",
        *,
        headers: dict[str, str] | None = None,
        peer: str = "127.0.0.1",
        **fields: str,
    ) -> tuple[int, Any, str]:
        """Fetch a page's form and send it, with its CSRF token; `headers` with that, as a proxy."""
        _, got, page = self.fetch("GET", "/login")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        csrf = next(v for k, v in got if k.lower() == "set-cookie" and "csrftoken" in v)
        data = urlencode({**fields, "csrfmiddlewaretoken": token[1] if token else ""})
        return self.fetch(
            "POST",
            path,
            data,
            {
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": "; ".join(filter(None, [csrf.partition(";")[0], cookie])),
                **(headers or {}),
            },
            peer=peer,
        )

    def fetch(
        self,
        method: str,
        path: str,
        data: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        peer: str = "127.0.0.1",
    ) -> tuple[int, list[tuple[str, str]], str]:
        """Make one request, from an address of this machine, and follow nothing."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.port, timeout=20, source_address=(peer, 0)
        )
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.getheaders(), text
