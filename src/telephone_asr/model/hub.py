"""Model directories from ModelScope and Hugging Face: a pinned revision, into the hub's own cache.

The hubs' own libraries do it (they resume broken transfers, and check what arrives). Only files are
fetched: no code of a repository is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from telephone_asr.errors import InputError
from telephone_asr.model.layout import check_directory


def locate(kind: str, path: str | None, repo: str, revision: str) -> Path:
    """Returns the base model's directory: the user's own at `path`, or a hub's snapshot.

    Raises InputError where it is not to be had or lacks a file that it must have.
    """
    if path is not None:
        directory = Path(path)
        check_directory(directory)
    else:
        directory = snapshot(kind, repo, revision)
        check_directory(directory, "params.yaml: base.repo")
    return directory


def snapshot(hub: str, repo: str, revision: str) -> Path:
    """Returns the directory of a repository at a revision: of the hub's cache, else fetched.

    ModelScope's cache is where MODELSCOPE_CACHE says, Hugging Face's where HF_HOME does, else below
    ~/.cache. Each hub is asked at MODELSCOPE_ENDPOINT or HF_ENDPOINT, where these are set.

    Raises:
        InputError: it is in neither place; both are named.
    """
    directory = cached(hub, repo, revision)
    if directory is not None:
        return directory
    # The libraries raise whatever their transport does, and what they document.
    try:
        return Path(_fetch(hub)(repo, revision, local_files_only=False))
    except Exception as error:
        cache, endpoint = _places(hub)
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"params.yaml: base.repo: {repo} at revision {revision} is neither in the cache "
            f"{cache} nor to be had from {endpoint} ({type(error).__name__}: {reason}): check "
            "base.repo and base.revision, or set base.path to a copy."
        ) from None


def cached(hub: str, repo: str, revision: str) -> Path | None:
    """Returns the directory in the hub's cache, or None where it is not there; nothing is asked."""
    try:
        return Path(_fetch(hub)(repo, revision, local_files_only=True))
    except Exception:
        return None


def _fetch(hub: str) -> Callable[..., str]:
    return _modelscope if hub == "modelscope" else _huggingface


def _modelscope(repo: str, revision: str, local_files_only: bool) -> str:
    from modelscope.hub.snapshot_download import snapshot_download

    return snapshot_download(repo, revision=revision, local_files_only=local_files_only)


def _huggingface(repo: str, revision: str, local_files_only: bool) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(repo, revision=revision, local_files_only=local_files_only)


def _places(hub: str) -> tuple[str, str]:
    """Returns the cache and the address of a hub."""
    if hub == "modelscope":
        from modelscope_hub.config import HubConfig

        config = HubConfig()
        named = "MODELSCOPE_CACHE" if "MODELSCOPE_CACHE" in os.environ else "the default"
        return f"{config.cache_dir} ({named})", str(config.endpoint)
    from huggingface_hub import constants

    named = "HF_HOME" if "HF_HOME" in os.environ else "the default"
    return f"{constants.HF_HUB_CACHE} ({named})", constants.ENDPOINT
