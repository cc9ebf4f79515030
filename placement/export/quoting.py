"""Names, addresses and paths in texts that others obey: each notation has its own way to hold any word.

Every writer of a runtime comes here, so that a name can never be read as a second command, key or line.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from ..errors import InputError, printable, shown

_ADDRESS = re.compile(r"[A-Za-z0-9_./\[:][A-Za-z0-9_.:/\[\]%@-]{0,199}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+", re.ASCII)


def shell_word(word: str) -> str:
    """A word for a POSIX shell."""
    return shlex.quote(word)


def remark(text: str) -> str:
    """A comment of shell, Python, YAML, TOML and units: one line, whatever the text is."""
    line = printable(text)
    return f"# {line}." if line.endswith("\\") else f"# {line}"  # nothing may go on in the next line


def json_text(value: object) -> str:
    """JSON on one line; letters stay as they are where all of them can be printed."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def yaml_string(word: str) -> str:
    """A double-quoted YAML scalar."""
    return '"' + "".join(_YAML.get(mark) or (mark if mark.isprintable() else _escaped(mark)) for mark in word) + '"'


def systemd_word(word: str) -> str:
    """A word of `ExecStart=` whose specifiers and variables are not replaced: systemd.service(5), systemd.syntax(7)."""
    if _PLAIN.fullmatch(word):
        return word
    return '"' + "".join(_SYSTEMD.get(mark) or (mark if mark.isprintable() else _escaped(mark)) for mark in word) + '"'


def compose_word(word: str) -> str:
    """A word of a compose file's command list: variables are not replaced in it."""
    return yaml_string(word.replace("$", "$$"))


def slug(node: str) -> str:
    """A node's name as a host name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", node).strip("-.") or "node"


def ensure_word(word: str, where: str) -> str:
    """Refuse what a program would take for an option, or what cannot be printed; raise `InputError`."""
    if word.startswith("-") or not word.isprintable() or not word:
        raise InputError(f"expected a name or a path that does not begin with '-', got {shown(word)}", where)
    return word


def ensure_address(where: str, key: str) -> str:
    """Refuse what is no address and no device; raise `InputError`."""
    if not _ADDRESS.fullmatch(where):
        raise InputError(f"expected an address or a device such as 10.0.0.5:50052 or cuda:0, got {shown(where)}", key)
    return where


def ensure_different_hosts(nodes: Sequence[str], at: Mapping[str, str]) -> None:
    """Refuse two nodes without addresses whose names make one host name; raise `InputError`."""
    hosts: dict[str, str] = {}
    for node in nodes:
        host = at.get(node, slug(node))
        if hosts.setdefault(host, node) != node:
            raise InputError(
                f"'{hosts[host]}' and '{node}' would both be the host {host}: give their addresses", "--at"
            )


def _escaped(mark: str) -> str:
    number = ord(mark)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


_YAML = {"\\": "\\\\", '"': '\\"'}
_SYSTEMD = {**_YAML, "%": "%%", "$": "$$"}
