"""The runtime: a session over a model's bytes, by the execution provider that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Unavailable
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.inspecting import Inspects
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.providers import CPU, PROVIDERS
from framegate_gateway.inference.recipe import Recipe

PAIR_INPUT: Final = "pair"
PAIR_OUTPUTS: Final = ("heat", "geometry")
_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    # sums of another order are no fault, but a network whose numbers are halved is another network
    {"openvino": {"device_type": "CPU", "precision": "FP32"}, "cuda": {"use_tf32": "0"}}
)


def new_session(model: bytes, threads: int, provider: str = CPU) -> Any:
    """An onnxruntime session over the model's bytes that runs by `provider`. Raises Malformed
    (MODEL) where the runtime refuses them, Unavailable (MODEL) where the provider is not there: no
    other is taken instead without a word.
    """
    # an inference child whose network runs elsewhere never comes here
    import onnxruntime as ort  # noqa: PLC0415 - start-up

    require_provider(provider, ort.get_available_providers())
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # other work shares the cores
    options.log_severity_level = 3
    name = PROVIDERS[provider]
    try:
        asked = [(name, dict(_OPTIONS.get(provider, {})))]
        session = ort.InferenceSession(model, options, providers=asked)
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL, "a model that onnxruntime loads", f"{type(error).__name__}: {error}"[:300]
        ) from error
    require_provider(provider, session.get_providers()[:1])  # the runtime falls back silently
    return session


def require_provider(provider: str, there: Sequence[str]) -> None:
    """Raises Unavailable (MODEL) where `provider` is not among those of the runtime."""
    if PROVIDERS.get(provider) not in there:
        raise Unavailable.of(
            Reason.MODEL,
            f"an onnxruntime with the provider {provider}",
            ", ".join(there)[:200] or "none",
            "install its build of onnxruntime and the driver, or take --provider cpu",
        )


def runner(session: Any) -> Any:
    """The session of a pair as `Inspector` takes it."""
    return lambda pair: session.run(list(PAIR_OUTPUTS), {PAIR_INPUT: pair})


def picture_runner(session: Any, recipe: Recipe) -> Callable[[NDArray[Any]], Any]:
    """The session of another kind as `PictureInspector` takes it."""
    given = recipe.picture_input
    names = [tensor.name for tensor in recipe.picture_output.tensors]
    sizes = {given.sizes: np.array([[given.height, given.width]], np.int64)} if given.sizes else {}
    # a score alone may come as a number without sides, which numpy calls no array
    return lambda tensor: [
        np.asarray(array) for array in session.run(names, {given.name: tensor, **sizes})
    ]


def inspects(bundle: Bundle, session: Any) -> Inspects:
    """The bundle's model, of whatever kind, with its session; None where it runs elsewhere."""
    recipe = bundle.recipe
    if recipe.kind == Kind.PAIR:
        return Inspector(recipe, None if session is None else runner(session))
    return PictureInspector(
        recipe, _nowhere if session is None else picture_runner(session, recipe)
    )


def _nowhere(_tensor: NDArray[Any]) -> Any:
    raise Unavailable.of(Reason.INFERENCE, "a network in this process", "one elsewhere")
