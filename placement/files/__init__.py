"""Files in and out, at the bottom of the house: text, documents, and the entries that documents are made of.

Every file that a user gives comes through here, whatever it holds: `read_document` for YAML and JSON, `read_json` and
`load_json` where it must be JSON, `read_lines` for a JSON document a line. What comes out is bounded in size and depth,
has no key twice, and holds no number that Python's floats cannot. `placement.files.entries` checks keys and types.
"""

from .document import load_json, load_yaml, read_document, read_json, read_lines
from .text import append_line, ensure_writable, plain, read_input, read_text, write_atomic

__all__ = [
    "append_line",
    "ensure_writable",
    "load_json",
    "load_yaml",
    "plain",
    "read_document",
    "read_input",
    "read_json",
    "read_lines",
    "read_text",
    "write_atomic",
]
