"""Code values as DICOM's run lengths, which the decoding library cannot write."""

import numpy as np
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless


def run_lengths(values: np.ndarray) -> bytes:
    """The frame of one picture, uint8 or uint16 [rows, columns] (PS3.5 annex G)."""
    bits = 8 * values.itemsize
    frame: bytes = get_encoder(RLELossless).encode(
        values,
        rows=values.shape[0],
        columns=values.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=bits,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom",
    )
    return frame
