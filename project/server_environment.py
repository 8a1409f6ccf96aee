"""What a server that works for many users keeps of its environment. It knows no setting.

Providers' libraries look there for keys, tokens, organisations and headers where a call names none,
so the operator's would go wherever a user's base URL leads.
"""

from __future__ import annotations

import os
import re
from typing import Final

#: What Python, the C library, libpq, TLS and HTTP clients need. Our own settings were read before.
_KEPT: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ(DIR)?|LANG(UAGE)?|LC_\w+|TMPDIR|TEMP|TMP|VIRTUAL_ENV"
    r"|PYTHON\w*|DJANGO_SETTINGS_MODULE|(PG|KRB5)\w+|RES_OPTIONS|SSL_CERT_(FILE|DIR)"
    r"|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
#: Files and addresses that an SDK would ask next.
_INSTEAD: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "GITHUB_COPILOT_TOKEN_DIR": os.devnull,
    "CHATGPT_TOKEN_DIR": os.devnull,
    "XAI_OAUTH_TOKEN_DIR": os.devnull,
}


def environment_narrow() -> None:
    """Forget every variable of this process that nothing of ours needs once settings are read."""
    for name in [name for name in os.environ if not _KEPT.fullmatch(name)]:
        del os.environ[name]
    os.environ.update(_INSTEAD)
