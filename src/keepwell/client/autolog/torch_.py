"""PyTorch training loops: the loss of each backward pass and the learning rates, by optimizer step.

The steps are noticed by the hook that PyTorch has for it (`register_optimizer_step_post_hook`); the loss is what
`backward` was called on, before a gradient scaler multiplied it. Several backward passes before a step are averaged.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from keepwell.client import fluent
from keepwell.client.autolog import patching
from keepwell.client.autolog.recording import short_params

NAME = "torch"
_MOST_WAITING = 1_000


class _Losses(threading.local):
    """Losses of this thread's backward passes since the last step of an optimizer."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []


_losses = _Losses()


def wrap() -> None:
    """Wrap `backward` and the scaler's `scale`, and hook into the steps of all optimizers."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    patching.replace(NAME, torch.Tensor, "backward", _backward)
    scaler = getattr(getattr(torch, "amp", None), "GradScaler", None)
    if scaler is not None:
        patching.replace(NAME, scaler, "scale", _scale)
    handle = register_optimizer_step_post_hook(_Steps().after)
    patching.undo.setdefault(NAME, []).append(handle.remove)


def _backward(original: Callable[..., Any]) -> Callable[..., Any]:
    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if patching.active(NAME) is not None and len(_losses.waiting) < _MOST_WAITING:
            with patching.quietly("autolog of torch"):
                loss = getattr(self, "_keepwell_loss", self)
                if loss.numel() == 1:
                    _losses.waiting.append(loss.detach())
        return original(self, *args, **kwargs)

    return backward


def _scale(original: Callable[..., Any]) -> Callable[..., Any]:
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        if hasattr(outputs, "detach") and scaled is not outputs:
            with patching.quietly("autolog of torch"):
                scaled._keepwell_loss = outputs.detach()
        return scaled

    return scale


class _Steps:
    """Counts the steps of each optimizer."""

    def __init__(self) -> None:
        self._counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Record what led to a step."""
        how = patching.active(NAME)
        losses, _losses.waiting = _losses.waiting, []
        if how is None:
            return
        with patching.quietly("autolog of torch"):
            step = self._counts.get(optimizer, 0)
            self._counts[optimizer] = step + 1
            run = fluent.active_run() or fluent.start_run("torch")
            prefix = "" if len(self._counts) == 1 else f"optimizer_{list(self._counts).index(optimizer)}/"
            if step == 0:
                told = {"optimizer": type(optimizer).__name__, **short_params(dict(optimizer.defaults))}
                run.log_params({f"{prefix}{name}": value for name, value in told.items()})
                run.set_tag("autolog", NAME)
            if step % how.every == 0:
                groups = [group["lr"] for group in optimizer.param_groups]
                rates = {"lr" if len(groups) == 1 else f"lr_{n}": float(rate) for n, rate in enumerate(groups)}
                loss = {"loss": sum(float(one) for one in losses) / len(losses)} if losses else {}
                run.log_metrics({f"{prefix}{name}": value for name, value in {**loss, **rates}.items()}, step=step)
