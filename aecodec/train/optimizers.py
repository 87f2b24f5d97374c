"""The optimizers of `model train`: Adam, and SOAP for the weights of the wide layers.

SOAP (Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2024) runs Adam in the eigenbasis of each
weight's gradients. A step takes longer and learns more: `weights/EXPERIMENTS.md` has the trials. Biases, quality
functions, depthwise weights and matrices with a side under 16 stay with Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from aecodec.errors import MissingExtra

OPTIMIZERS = {"adam": 1.0, "soap": 3.0}  # factor on the learning rate of the config, which is Adam's
MATRIX_MINIMUM = 16
PRECONDITION_STEPS = 10  # every 30: 0.01 more validation loss in equal time
PRECONDITION_LIMIT = 1000  # a longer side keeps its own basis


class SoapAndAdam:
    """SOAP for the matrices among the parameters, Adam for the others, behind the interface of one optimizer.

    SOAP would precondition each axis of a convolution's weight apart; as a matrix [outputs, inputs * taps], the inputs
    of an output share one basis.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        """Raises MissingExtra without pytorch-optimizer."""
        parameters = list(parameters)
        self._weights = [parameter for parameter in parameters if _is_matrix(parameter)]
        self._matrices = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in self._weights]
        self._soap = soap_class()(
            self._matrices,
            betas=(0.95, 0.95),
            weight_decay=0.0,
            precondition_frequency=PRECONDITION_STEPS,
            max_precondition_dim=PRECONDITION_LIMIT,
        )
        self._adam = torch.optim.Adam([each for each in parameters if not _is_matrix(each)], fused=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self._soap.param_groups + self._adam.param_groups

    def zero_grad(self) -> None:
        for weight in self._weights:
            weight.grad = None
        self._adam.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """Matrices are copies: they are read from the weights here, whoever changed those since the last step."""
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.copy_(weight.flatten(1))
            matrix.grad = weight.grad.flatten(1) if weight.grad is not None else None
        self._soap.step()
        self._adam.step()
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            weight.copy_(matrix.view(weight.shape))

    def state_dict(self) -> dict[str, Any]:
        return {"soap": self._soap.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises KeyError or ValueError for the state of another optimizer or network."""
        self._soap.load_state_dict(state["soap"])
        self._adam.load_state_dict(state["adam"])


def soap_class() -> Callable[..., torch.optim.Optimizer]:
    """The class SOAP. Raises MissingExtra without pytorch-optimizer."""
    try:
        from pytorch_optimizer.optimizer.soap import SOAP
    except ImportError as error:
        raise MissingExtra('--optimizer soap needs pytorch-optimizer: pip install "aecodec[train]"') from error
    return SOAP


Optimizer = torch.optim.Optimizer | SoapAndAdam


def make_optimizer(name: str, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """An optimizer of OPTIMIZERS. Raises MissingExtra if it is not installed."""
    return SoapAndAdam(parameters) if name == "soap" else torch.optim.Adam(parameters, fused=True)


def optimizer_of(state: dict[str, Any]) -> str:
    """The name of the optimizer whose state_dict this is."""
    return "soap" if "soap" in state else "adam"


def _is_matrix(parameter: nn.Parameter) -> bool:
    if parameter.dim() != 4 or parameter.shape[1] == 1:  # 1: depthwise
        return False
    return min(len(parameter), parameter[0].numel()) >= MATRIX_MINIMUM
