"""A search as code to copy: for a shell, and for Python. Pure."""

from __future__ import annotations

import shlex
from pprint import pformat
from typing import Any

import orjson


def search_curl(*, base_url: str, body: dict[str, Any]) -> str:
    """The search as a curl command. base_url: scheme and host of the tenant; TOKEN is for the reader to fill in."""
    return (
        f"curl -X POST {shlex.quote(f'{base_url}/api/v1/entities/search/')} \\\n"
        '  -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(orjson.dumps(body).decode())}"
    )


def search_python(*, base_url: str, body: dict[str, Any]) -> str:
    """The search as Python that reads every page, with nothing but `requests`."""
    shown = pformat({**body, "limit": 1000}, width=96, sort_dicts=False)
    return (
        "import requests\n\n"
        f"url = {f'{base_url}/api/v1/entities/search/'!r}\n"
        'headers = {"Authorization": "Bearer TOKEN"}\n'
        f"body = {shown}\n\n"
        "while True:\n"
        "    page = requests.post(url, json=body, headers=headers, timeout=30)\n"
        "    page.raise_for_status()\n"
        "    answer = page.json()\n"
        '    for entity in answer["entities"]:\n'
        '        print(entity["external_id"], entity["attributes"])\n'
        '    if answer["next_cursor"] is None:\n'
        "        break\n"
        '    body["cursor"] = answer["next_cursor"]\n'
    )
