"""scikit-learn: kept by skops, whose files hold values and the names of types, and nothing that runs.

The types that may be named are fixed here (skops' own list, and a few more): what a folder or its metadata says about
trust is not read. Random states and trees are checked before they are used, since a crafted one reads memory that is
not its own.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keepwell.core.errors import Damaged, Denied, InvalidInput, NotInstalled
from keepwell.models.flavors import content, frames, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written
from keepwell.models.flavors.sound import check_trees

FILE = "model.skops"
FLOOR = (0, 13)
"""Older versions of skops ran types that their own list did not show (CVE-2025-54412, -54413)."""
TRUSTED = frozenset(
    {
        "collections.OrderedDict",
        "functools.partial",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.TimeSeriesSplit",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)
"""Types beyond skops' own list: their state is plain values, or is checked."""
_UNREADABLE = (TypeError, ValueError, KeyError, AttributeError, ImportError, OSError, RecursionError, IndexError,
               zipfile.BadZipFile)  # fmt: skip
_TYPES = re.compile(rb'"__class__": "([^"]+)",\s+"__module__": "([^"]+)"')
_LOADERS = re.compile(rb'"__loader__": ("[^"]+")')
_SEEN: dict[frozenset[object], list[str]] = {}
MAX_SEEN = 1000
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


class Sklearn:
    """Estimators and pipelines of scikit-learn."""

    name = "sklearn"
    needs = (("sklearn", "keepwell[models]"), ("skops", "keepwell[models]"))

    def claims(self, model: object) -> bool:
        """Tell whether it is an estimator."""
        return any(t.__module__.startswith("sklearn.") and t.__name__ == "BaseEstimator" for t in type(model).__mro__)

    def save(self, model: Any, context: Context) -> Written:
        """Write the estimator by skops; types that may not be loaded again are refused now."""
        import sklearn

        trusted = dump(model, context)
        method = context.options.get("predict", "predict" if hasattr(model, "predict") else "transform")
        if method not in METHODS:
            raise InvalidInput(f"An estimator predicts by one of {', '.join(METHODS)}.", where="predict")
        conf = {
            "pickled_model": FILE,
            "serialization_format": "skops",
            "sklearn_version": sklearn.__version__,
            "skops_trusted_types": trusted or None,
            "code": None,
        }
        return Written(conf, FILE, "mlflow.sklearn", ("scikit-learn", "skops"), {"predict_fn": method})

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say whether it is a skops file; anything else that scikit-learn models are kept in is a pickle."""
        return judge(folder, str(conf.get("pickled_model", FILE)))

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the estimator."""
        return load(
            places.inside(folder, conf.get("pickled_model", FILE)), policy, str(conf.get("serialization_format"))
        )

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return what the estimator's method answers; `predict` unless the model says otherwise."""
        given = dict(params)
        method = given.pop("predict_fn", "predict" if hasattr(model, "predict") else "transform")
        if method not in METHODS or not hasattr(model, method):
            raise InvalidInput(f"This estimator has no {str(method)[:40]!r}.", where="predict_fn")
        rows = frames.table(data)
        if not hasattr(rows, "columns") or hasattr(model, "feature_names_in_"):
            return getattr(model, method)(rows, **given)
        return getattr(model, method)(frames.matrix(rows), **given)


def judge(folder: Path, name: str) -> Judged:
    """Say by content what loading a skops file, or a pickle in its place, may do.

    Raises:
        Damaged: the archive is not whole, or says two things.
    """
    place = places.inside(folder, name)
    if content.is_zip(place):
        with content.Archive(place) as archive:
            if "schema.json" in archive.sizes:
                content.check_arrays(archive, name)
                _check_states(archive.read("schema.json"))
                return Judged("safe", name)
    kind = content.kind_of(place)
    what = {"pickle": "a pickle", "compressed": "a compressed pickle", "other": "of no known kind"}.get(kind, kind)
    return Judged("unsafe", name, f"{name} is {what}")


def dump(model: Any, context: Context) -> list[str]:
    """Write a model by skops; return the types beyond skops' own list that it names.

    With the option `trusted`, types of those modules are kept too, though loading them wants the same of the policy.

    Raises:
        InvalidInput: it holds a type that would not be loaded again.
    """
    import skops.io

    try:
        data = skops.io.dumps(model)
    except (TypeError, ValueError, AttributeError, NotImplementedError, RecursionError) as error:
        raise InvalidInput(f"This model cannot be kept by skops: {str(error)[:300]}.", where="model") from error
    if data.find(b'"__module__": "__main__"') >= 0:
        raise InvalidInput("This model has classes or functions of a script; put them in a module.", where="model")
    held = _named_types(data)
    modules = tuple(context.options.get("trusted", ()))
    unknown = [name for name in held if name not in TRUSTED and not named(name, modules)]
    if unknown:
        raise InvalidInput(
            f"This model holds types that are not known to be harmless: {', '.join(unknown)[:300]}; keep it with "
            "options={'trusted': ('their.module',)}, and load it with a policy whose `code` names that module.",
            where="model",
        )
    (context.folder / FILE).write_bytes(data)
    return held


def _named_types(data: bytes) -> list[str]:
    """Return the types beyond skops' own list that a new file names; a mix of types is looked at once in a process."""
    import skops.io

    mix = frozenset([*_TYPES.findall(data), *_LOADERS.findall(data)])
    if mix not in _SEEN:
        if len(_SEEN) >= MAX_SEEN:
            _SEEN.clear()
        _SEEN[mix] = sorted(skops.io.get_untrusted_types(data=data))
    return _SEEN[mix]


def load(place: Path, policy: Policy, form: str) -> Any:
    """Return the model of a skops file; of a pickle only where the policy allows it (in a worker).

    Raises:
        Denied: it names a type that is neither known nor in `policy.code`.
        Damaged: its state is out of range.
    """
    data = place.read_bytes()
    if not data.startswith(b"PK"):
        return unpickled(place, policy, form)
    import skops
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    if tuple(int(part) for part in skops.__version__.split(".")[:2]) < FLOOR:
        raise NotInstalled("This version of skops runs what it does not show: pip install -U 'keepwell[models]'.")
    held = {kind.decode("utf-8", "replace") for kind, _ in set(_TYPES.findall(data))}
    trusted = [name for name in TRUSTED if name.rsplit(".", 1)[1] in held]
    try:
        if policy.code:
            trusted += [name for name in skops.io.get_untrusted_types(data=data) if named(name, policy.code)]
        model = skops.io.loads(data, trusted=trusted)
    except UntrustedTypesFoundException:
        names = ", ".join(n for n in skops.io.get_untrusted_types(data=data) if n not in trusted)
        raise Denied(
            f"This model names types that are not known to be harmless: {names[:300]}; "
            "allow their module with the policy's `code` if you trust them.",
            where="code",
        ) from None
    except _UNREADABLE as error:
        raise Damaged(f"The model cannot be read by skops: {type(error).__name__}: {str(error)[:300]}") from error
    check_trees(model)
    return model


def unpickled(place: Path, policy: Policy, form: str) -> Any:
    """Return what a pickle holds. Only a worker gets here, and only where the policy allows pickles.

    Raises:
        Denied: the policy does not.
    """
    if not policy.pickle:
        raise Denied(f"{place.name} is a pickle, which can run code when it is loaded.", where="policy")
    if form == "joblib" or content.kind_of(place) == "compressed":
        import joblib

        return joblib.load(place)
    import pickle  # noqa: TID251  (in a process of its own, where the environment's policy allows it)

    with place.open("rb") as file:
        return pickle.load(file)  # noqa: S301


def named(name: str, modules: tuple[str, ...]) -> bool:
    """Tell whether a dotted name is one of the modules, or below one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _check_states(schema: bytes) -> None:
    """Refuse a random state whose place in its key is out of range: numpy would read beyond the key."""
    if b"Random" not in schema:
        return
    try:
        read = json.loads(schema)
    except (ValueError, RecursionError):
        raise Damaged("The skops file has no readable schema.") from None
    for node in _nodes(read):
        if node.get("__loader__") in ("RandomStateNode", "RandomGeneratorNode"):
            for inner in _nodes(node):
                place = inner.get("pos")
                if isinstance(place, dict) and not _in_key(place.get("content")):
                    raise Damaged("A random state of the model is out of range.")


def _in_key(text: Any) -> bool:
    return isinstance(text, str) and text.isdigit() and int(text) <= 624


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
