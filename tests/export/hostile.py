"""Names that try to be something else: commands, keys, lines, markup, options."""

from __future__ import annotations

from tests.sampled import some_quick

HOSTILE = {
    "substitution": "$(touch CANARY)",
    "backticks": "`touch CANARY`",
    "semicolon": "a; touch CANARY",
    "ampersand": "a && touch CANARY &",
    "pipe": "a | touch CANARY",
    "redirection": "a > CANARY",
    "single quote": "a'; touch CANARY; '",
    "double quote": 'a"; touch CANARY; "',
    "backslash at the end": "a\\",
    "backslash and quote": "a\\'",
    "line": "a\ntouch CANARY",
    "carriage return": "a\rtouch CANARY",
    "line separator": "a\u2028touch CANARY",
    "next line": "a\x85touch: CANARY",
    "variable": "${HOME} $HOME $$",
    "specifier": "%n %h %%",
    "glob": "* ? [a-z]",
    "tilde": "~root",
    "history": "!! !1",
    "comment": "a # b",
    "key and value": "a: b",
    "yaml tag": "!!python/object/apply:os.system [touch CANARY]",
    "yaml anchor": "&a *a",
    "braces": "{a: 1, b: [2}",
    "script": "<script>document.title='owned'</script>",
    "attribute": '" onload="alert(1)" x=\'',
    "template": "{{ 7 * 7 }} {% raw %}",
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "triple quote": '"""\nimport os\n"""',
    "letters": "ünit 日本語 \U0001f600 \u202eabc",
}

_NAMES = sorted(HOSTILE, key=lambda name: list(HOSTILE).index(name) % 3)
KINDS = some_quick(_NAMES, len(_NAMES) // 3)
"""Every third name each time, the others with the slow tests."""
