"""Rows of the operator's port: models and the pins that put them in force."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.models import (
    ApproveModel,
    ListModels,
    ModelView,
    RegisterModel,
    ShowModel,
    ShownModel,
)
from framegate_controller.verbs.pins import PromoteModel, RollBackModel
from framegate_proto.v1 import framegate_pb2 as pb


def _model(view: ModelView, _fleet: Fleet) -> pb.ModelRow:
    model = view.model
    return pb.ModelRow(
        digest=model.digest,
        name=model.name,
        version=model.version,
        signer=model.signer,
        state=model.state,
        zones=view.zones,
        registered_by=model.registered_by,
        at_ms=model.at_ms,
        approved_by=model.approved_by,
    )


def _models(views: list[ModelView], fleet: Fleet) -> pb.ModelsReply:
    return pb.ModelsReply(models=[_model(v, fleet) for v in views])


def _shown(shown: ShownModel, fleet: Fleet) -> pb.ModelReply:
    model = shown.view.model
    files = [pb.FileDigest(name=n, sha256=bytes.fromhex(d)) for n, d in model.files.items()]
    row = _model(shown.view, fleet)
    return pb.ModelReply(
        row=row, recipe=model.recipe, card=model.card, files=files, pins=shown.pins
    )


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("RegisterModel", RegisterModel.parse, _model),
    Rpc("ApproveModel", ApproveModel.parse, _model),
    Rpc("PromoteModel", PromoteModel.parse, _model),
    Rpc("RollBackModel", RollBackModel.parse, _model),
    Rpc("ListModels", ListModels.parse, _models),
    Rpc("ShowModel", ShowModel.parse, _shown),
)
