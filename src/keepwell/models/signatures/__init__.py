"""What a model takes and gives: inferred from data, kept in MLflow's JSON form, enforced at every prediction."""

from keepwell.models.signatures.enforce import enforce
from keepwell.models.signatures.infer import infer
from keepwell.models.signatures.params import enforce_params
from keepwell.models.signatures.specs import Column, Param, Signature, Tensor, read_signature

__all__ = ["Column", "Param", "Signature", "Tensor", "enforce", "enforce_params", "infer", "read_signature"]
