"""llama.cpp's C interface (llama.h), as the wheel ``xllamacpp`` carries it: weights from a GGUF file, and a cache of
contexts.

Owns the only ctypes of the project, and the checks that make them safe: the interface has no version of its own and its
structures change, so the wheel is pinned, and the offsets used here are checked against the defaults that the library
itself fills in, and again by what it says of a cache just made. The wheel's own Python interface is a server (text in,
text out, a slot a request), which can neither crop nor copy a context nor let a grammar choose. Does not know streams.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "2026.10.11549"
"""The wheel's version that the structures below were read from."""
MAX_CONTEXTS = 256
"""llama.cpp's own limit, for one cache."""
OUTPUTS = 16
"""Logits that one pass gives at the most, where fewer contexts share it: each is a row of the vocabulary in memory,
twice."""
_F32, _F16 = 0, 1
_BATCH_TOKENS = 2048
_WARNING, _ERROR = 3, 4


class _ContextParams(Structure):
    _fields_ = [
        *(
            (name, c_uint32)
            for name in (
                "n_ctx",
                "n_batch",
                "n_ubatch",
                "n_seq_max",
                "n_rs_seq",
                "n_outputs_max",
                "n_outputs_max_per_seq",
            )
        ),
        *(
            (name, c_int32)
            for name in (
                "n_threads",
                "n_threads_batch",
                "ctx_type",
                "rope_scaling_type",
                "pooling_type",
                "attention_type",
                "flash_attn_type",
            )
        ),
        *(
            (name, c_float)
            for name in (
                "rope_freq_base",
                "rope_freq_scale",
                "yarn_ext_factor",
                "yarn_attn_factor",
                "yarn_beta_fast",
                "yarn_beta_slow",
            )
        ),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("unused", c_void_p),
        *((name, c_bool) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")),
        # the real one ends within this; it goes by value, and what is passed too much is not read
        ("rest", c_uint8 * 112),
    ]


class _ModelParams(Structure):
    _fields_ = [("as_the_library_made_them", c_uint64 * 24)]


class _Batch(Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", c_void_p),
        ("embd", c_void_p),
        ("pos", c_void_p),
        ("n_seq_id", c_void_p),
        ("seq_id", c_void_p),
        ("logits", c_void_p),
    ]


_DEFAULTS = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_rs_seq": 0,
    "n_outputs_max": 0,
    "n_outputs_max_per_seq": 1,
    "n_threads": 4,
    "n_threads_batch": 4,
    "ctx_type": 0,
    "rope_scaling_type": -1,
    "pooling_type": -1,
    "attention_type": -1,
    "flash_attn_type": -1,
    "yarn_ext_factor": -1.0,
    "defrag_thold": -1.0,
    "cb_eval": None,
    "type_k": _F16,
    "type_v": _F16,
    "abort_callback": None,
    "embeddings": False,
    "offload_kqv": True,
    "no_perf": True,
    "op_offload": True,
    "swa_full": True,
    "kv_unified": False,
}
"""What llama_context_default_params gives: values at wrong offsets would not all agree."""

_LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "llama_backend_init": (None,),
    "llama_log_set": (None, _LOG, c_void_p),
    "llama_context_default_params": (_ContextParams,),
    "llama_model_default_params": (_ModelParams,),
    "llama_model_load_from_file": (c_void_p, c_char_p, _ModelParams),
    "llama_model_free": (None, c_void_p),
    "llama_model_is_recurrent": (c_bool, c_void_p),
    "llama_model_is_hybrid": (c_bool, c_void_p),
    "llama_model_n_ctx_train": (c_int32, c_void_p),
    "llama_model_get_vocab": (c_void_p, c_void_p),
    "llama_vocab_n_tokens": (c_int32, c_void_p),
    "llama_vocab_eos": (c_int32, c_void_p),
    "llama_init_from_model": (c_void_p, c_void_p, _ContextParams),
    "llama_free": (None, c_void_p),
    "llama_n_ctx": (c_uint32, c_void_p),
    "llama_n_ctx_seq": (c_uint32, c_void_p),
    "llama_n_batch": (c_uint32, c_void_p),
    "llama_n_seq_max": (c_uint32, c_void_p),
    "llama_n_threads": (c_int32, c_void_p),
    "llama_get_memory": (c_void_p, c_void_p),
    "llama_memory_seq_rm": (c_bool, c_void_p, c_int32, c_int32, c_int32),
    "llama_memory_seq_cp": (None, c_void_p, c_int32, c_int32, c_int32, c_int32),
    "llama_memory_seq_pos_max": (c_int32, c_void_p, c_int32),
    "llama_state_seq_get_size": (c_size_t, c_void_p, c_int32),
    "llama_state_seq_get_data": (c_size_t, c_void_p, c_void_p, c_size_t, c_int32),
    "llama_state_seq_set_data": (c_size_t, c_void_p, c_void_p, c_size_t, c_int32),
    "llama_decode": (c_int32, c_void_p, _Batch),
    "llama_get_logits_ith": (POINTER(c_float), c_void_p, c_int32),
}
_said: list[str] = []
"""The library's last complaints, for the errors raised here."""


def _hear(level: int, text: bytes, _: Any) -> None:
    if level in (_WARNING, _ERROR):
        _said.append(text.decode(errors="replace").strip())
        del _said[:-3]


_log = _LOG(_hear)


@lru_cache(maxsize=1)
def library() -> Any:
    """The library, its functions typed.

    Raises:
        ImportError: the wheel is not installed, or is another than the one that this file was written for.
    """
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        raise ImportError("llama.cpp is not installed; get it with: pip install '.[llamacpp]'")
    found = importlib.metadata.version("xllamacpp")
    wrong = f"xllamacpp {found} is installed, and its structures are known for {VERSION} alone: pip install xllamacpp=={VERSION}"
    if found.split("+")[0] != VERSION:
        raise ImportError(wrong)
    binaries = [path for path in Path(spec.origin).parent.glob("xllamacpp.*") if path.suffix in (".so", ".pyd")]
    try:
        lib = ctypes.CDLL(str(binaries[0]))
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
    except (IndexError, OSError, AttributeError) as error:
        raise ImportError(
            f"this build of xllamacpp {found} does not give access to llama.cpp's C interface: {error!r}"
        ) from error
    check_layout(lib.llama_context_default_params())
    lib.llama_log_set(_log, None)
    lib.llama_backend_init()
    return lib


def check_layout(params: Any) -> None:
    """Whether the library's defaults lie where this file looks for them.

    Raises:
        ImportError: they don't; the text names the first field.
    """
    for name, value in _DEFAULTS.items():
        if (here := getattr(params, name)) != value:
            raise ImportError(
                f"llama.cpp's default {name} reads {here}, not {value}: its structures have changed; pip install xllamacpp=={VERSION}"
            )


def _why() -> str:
    return "; ".join(_said) or "llama.cpp gives no reason"


class Weights:
    """A GGUF file in memory."""

    def __init__(self, path: Path) -> None:
        """Loads the file.

        Raises:
            ValueError: no model of attention only in it; the text gives llama.cpp's reason.
        """
        self._lib = library()
        _said.clear()
        self.handle = self._lib.llama_model_load_from_file(str(path).encode(), self._lib.llama_model_default_params())
        if not self.handle:
            raise ValueError(f"llama.cpp can't load {path}: {_why()}")
        if self._lib.llama_model_is_recurrent(self.handle) or self._lib.llama_model_is_hybrid(self.handle):
            self.free()
            raise ValueError(f"{path}: the model has a state, which can't be cropped; use one of attention only")
        vocabulary = self._lib.llama_model_get_vocab(self.handle)
        self.vocabulary_tokens: int = self._lib.llama_vocab_n_tokens(vocabulary)
        self.end_id: int = self._lib.llama_vocab_eos(vocabulary)
        """The token that ends a turn; -1 where the file names none."""
        self.context_tokens: int = self._lib.llama_model_n_ctx_train(self.handle)
        """The longest context that the model was made for."""

    def free(self) -> None:
        """Gives the memory back; all caches must be freed before. Twice is harmless."""
        if self.handle:
            self._lib.llama_model_free(self.handle)
            self.handle = None


_Token = tuple[int, int, int, int | None]
"""Context, position, id, and which of the rows of logits that are wanted of its context is the one after it."""


class CacheFull(Exception):
    """There are not enough free cells for new tokens; nothing was taken in."""


class Cache:
    """Keys and values of up to ``contexts`` contexts, in one pool of cells that contexts which begin alike share."""

    def __init__(self, weights: Weights, contexts: int, tokens: int, *, threads: int, float32: bool) -> None:
        """Makes room for ``contexts`` that have ``tokens`` cells together.

        Raises:
            MemoryError: llama.cpp could not make it.
        """
        self._lib, self._weights = library(), weights
        self.contexts = contexts
        params = self._lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.n_batch, params.kv_unified = tokens, contexts, _BATCH_TOKENS, True
        # else room for the logits of a whole batch, gigabytes with a large vocabulary
        params.n_outputs_max = max(contexts, OUTPUTS)
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = _F32 if float32 else _F16
        params.flash_attn_type = int(not float32)  # it computes in half precision, whatever the cache is kept in
        _said.clear()
        self._handle = self._lib.llama_init_from_model(weights.handle, params)
        if not self._handle:
            raise MemoryError(f"llama.cpp could not make a cache of {tokens} cells for {contexts} contexts: {_why()}")
        self.tokens: int = self._lib.llama_n_ctx(self._handle)
        """Cells; llama.cpp rounds up what it is asked for."""
        # one context may have all of a shared pool
        self._batch_tokens = min(_BATCH_TOKENS, self.tokens)
        asked = {"n_seq_max": contexts, "n_batch": self._batch_tokens, "n_threads": threads, "n_ctx_seq": self.tokens}
        got = {name: getattr(self._lib, f"llama_{name}")(self._handle) for name in asked}
        if got != asked or self.tokens < tokens:
            raise ImportError(f"llama.cpp made a cache of {got}, not {asked}; pip install xllamacpp=={VERSION}")
        self._memory = self._lib.llama_get_memory(self._handle)

    def compute(self, rows: Sequence[tuple[int, int, Sequence[int], int]]) -> dict[int, np.ndarray]:
        """Takes in new tokens.

        Args:
            rows: context, position of its first new token, new tokens, after how many of the last of these logits are
                wanted; each context once. One or more of each, and no more than `OUTPUTS` unless one of each.

        Returns:
            Those logits, (wanted, V) float32, by context.

        Raises:
            CacheFull: not enough cells.
            RuntimeError: llama.cpp refused the batch, or failed.
        """
        logits = {
            context: np.empty((wanted, self._weights.vocabulary_tokens), np.float32) for context, *_, wanted in rows
        }
        flat = [
            (context, first + n, token, row if (row := n - len(ids) + wanted) >= 0 else None)
            for context, first, ids, wanted in rows
            for n, token in enumerate(ids)
        ]
        try:
            for start in range(0, len(flat), self._batch_tokens):
                part = flat[start : start + self._batch_tokens]
                self._pass(part)
                for n, (context, _, _, place) in enumerate(part):
                    if place is not None:
                        found = self._lib.llama_get_logits_ith(self._handle, n)
                        logits[context][place] = np.ctypeslib.as_array(found, (self._weights.vocabulary_tokens,))
        except BaseException:
            for context, first, *_ in rows:  # an earlier part may have been taken in
                self.keep(context, first)
            raise
        return logits

    def _pass(self, part: Sequence[_Token]) -> None:
        contexts, positions, tokens = (np.array(column, np.int32) for column in list(zip(*part))[:3])
        wanted = np.array([place is not None for *_, place in part], np.int8)
        ones: np.ndarray = np.ones(len(part), np.int32)
        where = contexts.ctypes.data + contexts.itemsize * np.arange(
            len(part), dtype=np.uintp
        )  # a list of one context a token
        _said.clear()
        status = self._lib.llama_decode(
            self._handle,
            _Batch(
                len(part),
                tokens.ctypes.data,
                None,
                positions.ctypes.data,
                ones.ctypes.data,
                where.ctypes.data,
                wanted.ctypes.data,
            ),
        )
        if status == 1:
            raise CacheFull(f"the cache of {self.tokens} cells has no room for {len(part)} more tokens")
        if status:
            raise RuntimeError(f"llama.cpp failed on {len(part)} tokens, status {status}: {_why()}")

    def keep(self, context: int, tokens: int) -> None:
        """Forgets all but the first tokens of a context."""
        if not self._lib.llama_memory_seq_rm(self._memory, context, tokens, -1):
            raise RuntimeError(
                f"llama.cpp can't crop context {context} to {tokens} tokens; use a model of full attention"
            )

    def length(self, context: int) -> int:
        """Tokens of a context that the cache holds."""
        return int(self._lib.llama_memory_seq_pos_max(self._memory, context)) + 1

    def share(self, context: int, other: int, tokens: int) -> None:
        """Gives the first tokens of a context to another, in place of what that held; no cell is copied."""
        self.keep(other, 0)
        if tokens:
            self._lib.llama_memory_seq_cp(self._memory, context, other, 0, tokens)

    def move(self, context: int, cache: Cache) -> None:
        """Copies a context into another cache."""
        if not self.length(context):
            return
        size = self._lib.llama_state_seq_get_size(self._handle, context)
        state = np.empty(size, np.uint8)
        _said.clear()
        read = self._lib.llama_state_seq_get_data(self._handle, state.ctypes.data, size, context)
        if read != size or self._lib.llama_state_seq_set_data(cache._handle, state.ctypes.data, size, context) != size:
            raise RuntimeError(f"llama.cpp can't copy context {context}, {size} bytes: {_why()}")

    def free(self) -> None:
        """Gives the memory back. Twice is harmless."""
        if self._handle:
            self._lib.llama_free(self._handle)
            self._handle = None
