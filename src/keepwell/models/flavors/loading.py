"""Load a model's folder by policy, and predict.

One function holds the guard: what a folder's files may do is said by their content (`Flavor.judge`), and the policy
decides. When anything fails, nothing is loaded; there is no second, laxer try.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from keepwell.core.errors import Denied
from keepwell.models.flavors import known, mlmodel, places, requirements
from keepwell.models.flavors.model import SAFE, Flavor, Judged, Policy, Unsafe
from keepwell.models.signatures import Column, Signature, enforce, enforce_params, read_signature


class Predicts(Protocol):
    """A model that is loaded somewhere."""

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Return its answer."""

    def close(self) -> None:
        """Free what it holds."""


class Here:
    """A model that is loaded in this process."""

    def __init__(self, flavor: Flavor, model: Any, params: Mapping[str, Any]) -> None:
        self.model = model
        self._flavor = flavor
        self._params = params

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Return its answer."""
        return self._flavor.predict(self.model, data, {**self._params, **params})

    def close(self) -> None:
        """Nothing is held."""


class Loaded:
    """A loaded model.

    Attributes:
        flavor: the key of its format.
        signature: what it takes and gives, or None.
        where: `here`, or `worker` when it lives in a process of its own.
        conf: the format's part of the MLmodel file.
    """

    def __init__(self, flavor: str, signature: Signature | None, conf: Mapping[str, Any], model: Predicts) -> None:
        self.flavor = flavor
        self.signature = signature
        self.conf = conf
        self.where = "here" if isinstance(model, Here) else "worker"
        self._model = model

    def __repr__(self) -> str:
        inputs = (self.signature.inputs if self.signature else None) or ()
        takes = [f"{c.name}: {c.type}" if isinstance(c, Column) else f"{c.dtype} {list(c.shape)}" for c in inputs]
        return f"<{self.flavor} model{' of ' if takes else ''}{', '.join(takes[:8])}{', ...' if takes[8:] else ''}>"

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> Any:
        """The library's own model; None when it lives in another process."""
        return self._model.model if isinstance(self._model, Here) else None

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the model's answer for data that fits its signature.

        Raises:
            InvalidInput: the data or params do not fit.
            Unavailable: the model's process died or took too long.
        """
        given = (
            enforce_params(self.signature, params) if self.signature and self.signature.params else dict(params or {})
        )
        return self._model.predict(enforce(self.signature, data), given)

    def close(self) -> None:
        """End the model's process, if it has one."""
        self._model.close()


def load(folder: Path | str, policy: Policy = SAFE, *, flavor: str | None = None) -> Loaded:
    """Load a model from its folder, as far as the policy lets it.

    Args:
        folder: with an MLmodel file, from `save` or from an MLflow client.
        policy: what the folder may do.
        flavor: which of its formats; by default the first that is known here.

    Raises:
        Denied: loading it would run code, and the policy does not allow that.
        InvalidInput: the MLmodel file cannot be used.
        Damaged: files are not whole, or not what they should be.
        NotInstalled: the format's library is missing.
        Unavailable: its process died or took too long.
    """
    place = Path(folder)
    about = mlmodel.read(place)
    chosen, conf = _chosen(about["flavors"], flavor)
    signature = read_signature(about.get("signature"))
    judged = permit(place, chosen, conf, policy)
    if judged.verdict == "unsafe" or policy.worker:
        from keepwell.models.flavors.sandbox import Worker

        return Loaded(chosen.name, signature, conf, Worker(place, chosen.name, policy))
    return Loaded(chosen.name, signature, conf, _here(place, chosen, conf, about, policy))


def load_here(folder: Path, flavor: str, policy: Policy) -> Here:
    """Load a model in this process, which is a worker's: what is unsafe too, where the policy allows it."""
    about = mlmodel.read(folder)
    chosen, conf = _chosen(about["flavors"], flavor)
    permit(folder, chosen, conf, policy)
    return _here(folder, chosen, conf, about, policy)


def _chosen(flavors: Mapping[str, Any], flavor: str | None) -> tuple[Flavor, Mapping[str, Any]]:
    return known.of_folder(flavors if flavor is None else {k: v for k, v in flavors.items() if k == flavor})


def _here(place: Path, chosen: Flavor, conf: Mapping[str, Any], about: Mapping[str, Any], policy: Policy) -> Here:
    requirements.demand(chosen.needs, f"The format {chosen.name!r}")
    method = about["flavors"].get("python_function", {}).get("predict_fn") if chosen.name == "sklearn" else None
    return Here(chosen, chosen.load(place, conf, policy), {} if method is None else {"predict_fn": method})


def permit(place: Path, chosen: Flavor, conf: Mapping[str, Any], policy: Policy) -> Judged:
    """Let a folder pass that the policy lets load; an unsafe one is told to the policy's recorder first.

    Raises:
        Denied: the policy does not allow it.
        Damaged: it cannot be judged, which is a refusal as well.
    """
    judged = chosen.judge(place, conf)
    if judged.verdict != "unsafe":
        return judged
    if not policy.pickle:
        raise Denied(
            f"{judged.reason}, which can run code when it is loaded, and the policy refuses that; save the model in a "
            "safe format, or allow it: keepwell policy allow-pickle ENVIRONMENT --reason '...'.",
            code="unsafe_model",
            where=judged.path,
        )
    if policy.recorder is not None:
        decisive = places.inside(place, judged.path)
        digest = places.digest(decisive if decisive.is_file() else place / mlmodel.NAME)
        policy.recorder(Unsafe(digest, chosen.name, judged.path, judged.reason))
    return judged
