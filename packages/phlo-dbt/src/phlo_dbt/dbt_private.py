"""What phlo-dbt uses of dbt and dagster-dbt that is no public function of theirs.

Every function here has a test that says what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


def copy_manifest(manifest: Manifest) -> Manifest:
    """Copy a manifest, for a run of dbt to write into.

    dbt's own ``Manifest.deepcopy`` fails where a node is disabled.
    """
    copy: Manifest = pickle.loads(pickle.dumps(manifest))
    copy.build_flat_graph()
    return copy
