"""GGUF to safetensors, once: reading GGUF takes many times longer than reading the converted folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from ..errors import InputError
from .quiet import quiet

CACHE_VARIABLE = "PLACEMENT_CACHE"
"""Environment variable that names the folder for converted checkpoints."""


def cache_folder() -> Path:
    """Return the folder for converted checkpoints; it is created when needed."""
    if stated := os.environ.get(CACHE_VARIABLE):
        return Path(stated)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if home.startswith("~"):  # nobody's home is known
        raise InputError("expected a folder for converted checkpoints: the user has no home", CACHE_VARIABLE)
    return Path(home) / "llm-placement"


def checkpoint_folder(path: Path) -> Path:
    """Return `path` when it is a checkpoint folder, and the converted folder when it is a GGUF file."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise InputError("there is no such file or folder", str(path))
    if path.suffix.lower() != ".gguf":
        raise InputError("expected a checkpoint folder with safetensors, or a .gguf file", str(path))
    target = cache_folder() / f"{path.stem}-{_mark(path)}"
    if not (target / "config.json").is_file():
        _convert(path, target)
    return target


def _mark(path: Path) -> str:
    stat = path.stat()
    text = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _convert(path: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed: two processes that convert at once both end with a whole folder.
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, quantization_config=GgufConfig(dequantize=True), dtype="float32"
            )
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.save_pretrained(beside)
            AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(beside)
        if not target.exists():
            beside.rename(target)
    except (OSError, ValueError, KeyError) as error:
        if not (target / "config.json").is_file():
            raise InputError(f"cannot be converted ({str(error).splitlines()[0]})", str(path)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
