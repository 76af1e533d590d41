"""Checks of encoders whose voxels have receptive fields: fwRF and GNet."""

from __future__ import annotations

import numpy as np
import torch
from golden.pairs import Pair, full_size, tensor

from harness.backbones import gnet_network
from harness.encoders.fwrf import fields, search


def overwritten(values: np.ndarray, batch: int) -> np.ndarray:
    """`values` of voxels as they were recorded, after the predictions.

    The authors' predictor works in the memory of the first block of voxels that it was given: on the CPU each
    later block, padded with zeros, has been written over the first one by the time all are predicted.
    """
    values, last = values.copy(), values[(len(values) - 1) // batch * batch :]
    values[:batch] = 0
    values[: len(last)] = last
    return values


def check_fields(pair: Pair) -> None:
    """The grid, pooling fields at two resolutions, the search and predictions."""
    sigmas, grid = fields.candidates(
        **pair.options(
            sizes="num_sigma",
            smallest="sigma_min",
            largest="sigma_max",
            spacing="min_spacing",
            aperture="grid_aperture",
        )
    )
    pair.compare("sigmas", np.float32(sigmas), tolerance=1e-7)
    pair.compare("candidates", grid, tolerance=1e-7)
    aperture, side = pair.option("aperture"), pair.option("size")
    for pixels in (side, side // 2):
        pair.compare(f"pooling_fields_{pixels}", fields.pooling_fields(grid, pixels, aperture=aperture))

    def maps(images: np.ndarray) -> list[np.ndarray]:
        halves = images[:, :2].reshape(len(images), 2, side // 2, 2, side // 2, 2)
        return [images, halves.mean(axis=(3, 5))]

    images, voxels = pair.array("images"), pair.array("voxels")
    assert images.shape[:2] == (pair.option("samples"), pair.option("channels"))
    assert voxels.shape[1] == pair.option("voxels")
    pair.option("sample_batch")
    batch = pair.option("voxel_batch")
    how = {"nonlinear": pair.option("nonlinearity"), "aperture": aperture}
    fitted = search.search(
        maps(images), voxels, grid, penalties=pair.option("lambdas"), holdout=pair.option("holdout"), **how
    )
    pair.compare("best_holdout_loss", fitted.loss, tolerance=1e-3)
    pair.compare("best_lambda_index", fitted.penalty)
    pair.compare("best_model", fitted.model, tolerance=1e-7)
    for own, theirs in (
        *(("weights", "weights"), ("bias", "bias")),
        *(("feature_mean", "feature_mean"), ("feature_sd", "feature_std")),
    ):
        pair.compare(theirs, overwritten(getattr(fitted, own), batch), tolerance=2e-5)
    test = pair.array("test_images")
    assert len(test) == pair.option("test")
    pair.compare("prediction", search.respond(fitted, maps(test), **how), tolerance=1e-4)


@torch.no_grad()
def check_gnet(pair: Pair) -> None:
    """Both sets of maps, and voxels."""
    sizes = {"trunk": pair.option("trunk_width"), "passed": pair.option("pass_through")}
    images = tensor(pair.array("images"))
    assert images.shape[0] == pair.option("batch")
    shared = gnet_network.Shared((3, *[pair.option("size")] * 2), **sizes)
    pair.load(shared, "encoder_state_dict")
    maps = shared(images)
    for number, values in enumerate(maps, 1):
        pair.compare(f"maps_{number}", values)
    count = sum(values.shape[1] for values in maps)
    readout = gnet_network.Readout(pair.option("voxels"), [values.shape[-1] for values in maps], count)
    pair.load(readout, "readout_state_dict")
    pair.compare("prediction", readout(maps))


CHECKS = {
    "fwRF (styvesg/nsd)": check_fields,
    "GNet8 (MindEye2 copy): GEncoder+Torch_LayerwiseFWRF": check_gnet,
}

KEY_LISTS = {
    "full_gnet_encoder_keys": full_size(lambda: gnet_network.Shared((3, 227, 227))),
    "full_gnet_readout_keys": full_size(lambda: gnet_network.Readout(15724)),
}
