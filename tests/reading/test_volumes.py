"""Volumes and surfaces as nibabel reads them, and headers that are not believed."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from harness.api import DataError
from harness.reading.volumes import is_volume, open_volume


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz"])
def test_values_shape_and_places_are_nibabels(name, tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([1.8, 2.0, 2.5, 1.0])
    kind = nibabel.MGHImage if name[2] == "m" else nibabel.Nifti1Image
    nibabel.save(kind(values, affine), tmp_path / name)
    volume = open_volume(tmp_path / name)
    assert is_volume(tmp_path / name)
    assert volume.shape == (2, 3, 4)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(volume.read(), values)


def test_a_slope_is_applied(tmp_path):
    image = nibabel.Nifti1Image(np.full((2, 2, 2), 3, np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 1.0)
    nibabel.save(image, tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.nii").read(), np.asarray(stored.dataobj))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(name, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "whole.nii")
    header = bytearray((tmp_path / "whole.nii").read_bytes())
    header[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / name).write_bytes(gzip.compress(bytes(header)) if name.endswith("gz") else bytes(header))
    with pytest.raises(DataError, match="claims 54,000,000,000,000 bytes"):
        open_volume(tmp_path / name)


def test_a_damaged_or_absent_file_is_named(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.nii\.gz cannot be read"):
        open_volume(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="there is no file"):
        open_volume(tmp_path / "b.nii")
