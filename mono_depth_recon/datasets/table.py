"""The table of data sets: to add one, write its module with a row and name the row here."""

from __future__ import annotations

from . import image_folder, kitti, tum_archive
from .bags import bag
from .kind import DatasetKind
from .nyu import csv_layout, mat
from .rooms import source

# In the order in which a path is tried.
KINDS: dict[str, DatasetKind] = {
    row.name: row
    for row in (
        tum_archive.TUM,
        bag.BAG,
        mat.NYU_MAT,
        csv_layout.NYU_CSV,
        image_folder.IMAGE_FOLDER,
        kitti.KITTI,
        source.ROOMS,
    )
}
