"""What every model format must do: inherit `FlavorConformance` in a test class and give it a `sample` fixture.

    class TestXGBoost(FlavorConformance):
        @pytest.fixture
        def sample(self, bikes): return Sample("xgboost", trained(bikes), bikes.rows, code=())

The methods take it as `sample` and a folder of their own as `tmp_path`. A format that a table of Keepwell's does not
know is given as `flavor=`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.errors import Conflict, Damaged, Denied, KeepwellError
from keepwell.models.flavors import Policy, Unsafe, describe, load, save
from keepwell.models.flavors.known import flavor, of_model
from keepwell.models.flavors.saving import Saved
from keepwell.models.signatures import infer


@dataclass(frozen=True)
class Sample:
    """A model of a format, and rows to ask it for.

    Attributes:
        name: the format's key.
        model: a fitted model.
        rows: real rows that it takes.
        answer: what the library itself answers for the rows.
        code: modules that the model names, which the policy must allow.
        data: the file that holds the model, within the folder.
        saving: more arguments of `save`.
        tolerance: how far answers may differ, relative.
    """

    name: str
    model: Any
    rows: Any
    answer: Any
    data: str
    code: tuple[str, ...] = ()
    saving: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6


class Marker:
    """An object whose unpickling makes a folder: what must not happen."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        """Say how a pickle makes it: by making the folder."""
        return os.mkdir, (self.place,)


def expect(holds: bool, promise: str) -> None:
    """Fail with the promise that was broken."""
    if not holds:
        raise AssertionError(f"A model format must keep this promise: {promise}")


def refused(does: Callable[[], object], *kinds: type[KeepwellError]) -> KeepwellError:
    """Return the error with which something is refused."""
    try:
        does()
    except KeepwellError as error:
        expect(not kinds or isinstance(error, kinds), f"it is refused as {kinds}, not as {error!r}")
        return error
    raise AssertionError("A model format must refuse this, and did not.")


def same(left: Any, right: Any, tolerance: float) -> bool:
    """Tell whether two answers are alike: labels equal, numbers within a tolerance."""
    a, b = np.asarray(left), np.asarray(right)
    if a.dtype.kind not in "biuf":
        return a.shape == b.shape and bool((a.astype(str) == b.astype(str)).all())
    return a.size == b.size and bool(np.allclose(a.ravel(), b.ravel(), rtol=tolerance, atol=tolerance, equal_nan=True))


class FlavorConformance:
    """The promises of `keepwell.models.flavors.model.Flavor`, one a method."""

    def test_a_model_comes_back_as_it_was(self, sample: Sample, tmp_path: Path) -> None:
        """What is loaded answers as the library's own model."""
        saved = _saved(sample, tmp_path)
        loaded = load(saved.folder, Policy(code=sample.code))
        expect(loaded.flavor == sample.name and loaded.where == "here", "a safe format loads here, as what it is")
        expect(same(loaded.predict(sample.rows), sample.answer, sample.tolerance), "the answers are the same")

    def test_it_is_chosen_by_the_model(self, sample: Sample, tmp_path: Path) -> None:
        """The format is found by the class of the model."""
        expect(of_model(sample.model).name == sample.name, "a model's class says its format")
        expect(not flavor(sample.name).claims(object()), "nothing else is claimed")

    def test_a_process_of_its_own_answers_the_same(self, sample: Sample, tmp_path: Path) -> None:
        """A worker's answer is the one given here, type and all."""
        saved = _saved(sample, tmp_path)
        here = load(saved.folder, Policy(code=sample.code)).predict(sample.rows)
        with load(saved.folder, Policy(code=sample.code, worker=True)) as loaded:
            there = loaded.predict(sample.rows)
        expect(loaded.where == "worker" and loaded.model is None, "the model is not in this process")
        expect(type(here) is type(there) and same(here, there, 0.0), "data go in and out unchanged")

    def test_the_folder_says_what_it_is(self, sample: Sample, tmp_path: Path) -> None:
        """The MLmodel file, the requirements and the example are there, and nothing of it needs loading."""
        saved = _saved(sample, tmp_path, input_example=sample.rows[:3])
        about = describe(saved.folder)
        expect(about.flavor == sample.name and sample.name in about.flavors, "the folder names its format")
        expect(about.verdict in ("safe", "code"), "a saved model needs no unsafe loading")
        expect(about.signature == saved.signature and about.has_example, "signature and example are kept")
        expect({part.path for part in about.parts} == {path for path, _ in saved.files}, "all files are listed")
        expect(not any(part.kind in ("pickle", "compressed") for part in about.parts), "no file is a pickle")
        expect(all("==" in line for line in about.requirements), "requirements have versions")

    def test_a_pickle_in_its_place_is_refused(self, sample: Sample, tmp_path: Path) -> None:
        """By content, not by name: nothing of it runs, here or in a worker."""
        import pickle  # noqa: TID251  (what must be refused)

        saved = _saved(sample, tmp_path)
        marker = tmp_path / "marker"
        for protocol in (0, 2, 5):
            (saved.folder / sample.data).write_bytes(pickle.dumps([Marker(str(marker))], protocol=protocol))
            seen: list[Unsafe] = []
            for policy in (Policy(code=sample.code), Policy(code=sample.code, worker=True, recorder=seen.append)):
                refused(lambda p=policy: load(saved.folder, p), Denied, Damaged)  # type: ignore[misc]
            expect(not marker.exists() and not seen, "nothing of a pickle runs")
            expect(describe(saved.folder).verdict in ("unsafe", "refused"), "the folder is said to be unsafe")

    def test_half_a_file_is_refused(self, sample: Sample, tmp_path: Path) -> None:
        """A file that was cut is said to be damaged, in one sentence."""
        saved = _saved(sample, tmp_path)
        place = saved.folder / sample.data
        place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
        error = refused(lambda: load(saved.folder, Policy(code=sample.code)).predict(sample.rows))
        expect("\n" not in error.message and len(error.message) < 700, "the reason is one sentence")

    def test_links_are_not_followed(self, sample: Sample, tmp_path: Path) -> None:
        """A link in the place of the file is refused, wherever it leads."""
        saved = _saved(sample, tmp_path)
        place = saved.folder / sample.data
        shutil.move(place, tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
        refused(lambda: load(saved.folder, Policy(code=sample.code)), Damaged)
        refused(lambda: describe(saved.folder), Damaged)

    def test_nothing_half_saved_is_left(self, sample: Sample, tmp_path: Path) -> None:
        """A folder with something in it is not touched; a failed save leaves no folder."""
        saved = _saved(sample, tmp_path)
        refused(lambda: save(sample.model, saved.folder, **sample.saving), Conflict)
        example = [object()]
        refused(lambda: save(sample.model, tmp_path / "new", **{**sample.saving, "input_example": example}))
        expect(not (tmp_path / "new").exists(), "a failed save leaves nothing")


def _saved(sample: Sample, tmp_path: Path, **more: Any) -> Saved:
    given = {**sample.saving, **{k: v for k, v in more.items() if k not in sample.saving}}
    return save(sample.model, tmp_path / "model", signature=infer(sample.rows, sample.answer), **given)
