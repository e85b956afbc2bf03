"""A learned judge on disk: one .npz of plain arrays and a header in JSON; no pickle is written or read.

The same model gives the same bytes: numpy writes the archive's members with a fixed date. Reading trusts nothing: each
member is checked by the archive for damage (CRC-32), then for its kind, its shape against the others' and, where there
must be, for order and finite values. Whatever is wrong ends in one line.
"""

import io
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kindling.agents.lexical import ending
from kindling.agents.lexical.model import LIMITS, QUESTIONS, LexicalModel
from kindling.agents.lexical.ngrams import Vocabulary
from kindling.agents.lexical.parts import REQUEST_NGRAMS, TEXT_NGRAMS, Parts
from kindling.agents.lexical.request import DIMENSIONS, DualEncoder
from kindling.errors import InputError
from kindling.tables import atomic_file

FORMAT, VERSION = "kindling lexical judge", 1
MEND = "make it with kindling fit-judge"
# what numpy, zipfile, zlib and orjson raise on files that are something else, or cut short
_FOREIGN = (ValueError, KeyError, TypeError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)

# name: kind, dimensions as letters that must agree between arrays, or numbers
_ARRAYS: dict[str, tuple[type[np.generic], tuple[str | int, ...]]] = {
    "header": (np.uint8, ("H",)),
    "text_codes": (np.uint64, ("V",)),
    "text_idf": (np.float32, ("V",)),
    "wording": (np.float32, ("V",)),
    "told": (np.int32, ("T",)),
    "asked_codes": (np.uint64, ("Q",)),
    "asked_idf": (np.float32, ("Q",)),
    "asked_vectors": (np.float16, ("Q", DIMENSIONS)),
    "said_vectors": (np.float16, ("T", DIMENSIONS)),
    "others": (np.float16, ("O", DIMENSIONS)),
    "tail_codes": (np.uint64, ("E",)),
    "tail_idf": (np.float32, ("E",)),
    "ending": (np.float32, ("E",)),
    "calibration": (np.float64, (len(QUESTIONS), 2)),
    "limits": (np.float64, (len(LIMITS),)),
}


def save(model: LexicalModel, path: Path) -> str:
    """Write `model` to `path`, atomically; returns the SHA-256 of the file."""
    parts = model.parts
    header = {"format": FORMAT, "version": VERSION, "about": model.about}
    arrays: dict[str, Any] = {
        "header": np.frombuffer(orjson.dumps(header, option=orjson.OPT_SORT_KEYS), dtype=np.uint8),
        "text_codes": parts.text.codes, "text_idf": parts.text.idf, "wording": parts.wording, "told": parts.told,
        "asked_codes": parts.asked.codes, "asked_idf": parts.asked.idf,
        "asked_vectors": parts.encoder.asked, "said_vectors": parts.encoder.said, "others": parts.encoder.others,
        "tail_codes": parts.tails.codes, "tail_idf": parts.tails.idf, "ending": parts.ending,
        "calibration": model.calibration, "limits": model.limits,
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: arrays[name].astype(kind) for name, (kind, _) in _ARRAYS.items()})
    with atomic_file(path) as file:
        file.write(buffer.getvalue())
    return sha256(buffer.getvalue()).hexdigest()


def load(path: Path) -> tuple[LexicalModel, str]:
    """Read a model and the SHA-256 of its file. Raises `InputError` if it is missing, foreign or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; {MEND}") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _ARRAYS}
        header = orjson.loads(arrays["header"].tobytes())
        if header["format"] != FORMAT:
            raise ValueError("another format")
    except _FOREIGN as error:
        raise InputError(f"{path}: no learned judge, or a damaged one; {MEND}") from error
    if header.get("version") != VERSION:
        raise InputError(f"{path}: made by another version of kindling; {MEND}")
    if wrong := _wrong(arrays):
        raise InputError(f"{path}: damaged: {wrong}; {MEND}")
    return _model(arrays, header.get("about", {})), sha256(data).hexdigest()


def _wrong(arrays: dict[str, Any]) -> str:
    """Name the first thing that no model of ours has; empty if there is none."""
    sizes: dict[str, int] = {}
    for name, (kind, shape) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype != kind or array.ndim != len(shape):
            return f"{name} is {array.dtype} in {array.ndim} dimensions"
        for size, wanted in zip(array.shape, shape, strict=True):
            if size != (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted):
                return f"{name} has the shape {array.shape}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"{name} is not finite"
        if name.endswith("_codes") and (array[1:] <= array[:-1]).any():
            return f"{name} is not sorted"
    told = arrays["told"]
    if told.size and (told.min() < 0 or told.max() >= sizes["V"]):
        return "told names n-grams that are not there"
    if not sizes["O"] or (arrays["limits"] <= 0).any():
        return "limits or other requests are missing"
    return ""


def _model(arrays: dict[str, Any], about: dict[str, Any]) -> LexicalModel:
    single = {name: arrays[name].astype(np.float32) for name in ("asked_vectors", "said_vectors", "others")}
    parts = Parts(
        Vocabulary(arrays["text_codes"], arrays["text_idf"], TEXT_NGRAMS),
        arrays["wording"],
        arrays["told"],
        Vocabulary(arrays["asked_codes"], arrays["asked_idf"], REQUEST_NGRAMS),
        DualEncoder(single["asked_vectors"], single["said_vectors"], single["others"]),
        Vocabulary(arrays["tail_codes"], arrays["tail_idf"], ending.LONGEST),
        arrays["ending"],
    )
    return LexicalModel(parts, arrays["calibration"], arrays["limits"], about)
