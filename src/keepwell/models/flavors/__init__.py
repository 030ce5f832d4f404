"""Model formats: save, load and predict through one face; a folder with an `MLmodel` file, as MLflow's clients have it.

    saved = save(model, folder, signature=infer(rows, model.predict(rows)), input_example=rows.head(3))
    loaded = load(folder, Policy())
    loaded.predict(rows)

Nothing is unpickled: a folder whose format can run code when it is loaded is refused, unless the policy allows it, and
then it is loaded in a process of its own (see `sandbox`).
"""

from keepwell.models.flavors.describing import Description, describe
from keepwell.models.flavors.loading import Loaded, load
from keepwell.models.flavors.model import SAFE, Limits, Policy, Unsafe
from keepwell.models.flavors.saving import Saved, save

__all__ = ["SAFE", "Description", "Limits", "Loaded", "Policy", "Saved", "Unsafe", "describe", "load", "save"]
